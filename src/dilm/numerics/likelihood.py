"""The likelihood of a text from the likelihoods of its tokens, and the weights that make discrete text differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

LIKELIHOODS = ("token", "sum", "padded")


def text_nll(token_nll: Tensor, mask: Tensor, likelihood: str = "token") -> Tensor:
    """Negative log-likelihood of each text from its tokens': [n, T], [n, T] of 0 and 1 -> [n].

    `token` is the mean over the text's own tokens and does not depend on padding. `sum` is the true log-likelihood.
    `padded` divides by the padded length T, as the published code does: it depends on the longest text of the batch.
    """
    total = (token_nll * mask).sum(dim=1)
    if likelihood == "sum":
        return total
    if likelihood == "padded":
        return total / mask.shape[1]
    return total / mask.sum(dim=1).clamp(min=1)


def likelihood_weights(nll: Tensor, temperature: float) -> Tensor:
    """Generation probabilities of a batch, normalised: softmax(-nll / T), [n] -> [n] summing to 1 (paper 3.2)."""
    return torch.softmax(-nll / temperature, dim=0)
