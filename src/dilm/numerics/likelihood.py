"""The likelihood of a text from its tokens, and the weights that make discrete text differentiable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Told = Callable[[Sequence[Any]], Tensor]
"""What is told of each of n rows -> [n]."""


def text_nll(sums: Tensor, lengths: Tensor, likelihood: str = "token") -> Tensor:
    """Negative log-likelihood of each text of a batch from the sum over its tokens: [n], [n] -> [n].

    `token` is the mean over the text's own tokens. `sum` is the true log-likelihood. `padded` divides by the longest
    text of the batch, as the published code does: it depends on which other texts the batch holds.
    """
    if likelihood == "sum":
        return sums
    return sums / (lengths.max() if likelihood == "padded" else lengths)


def shares(lengths: Tensor, mean_over: str) -> Tensor:
    """What the mean nll of each text counts in a mean over all `tokens`, or over `texts`: [n] -> [n], 1 on average.

    A model that learns from means over texts ends its own too early: where the data has n texts of L tokens, the end
    after L is taught n / L times as much, and texts come out as if they were drawn in that proportion.

    >>> shares(torch.tensor([1, 3]), "tokens").tolist()
    [0.5, 1.5]
    """
    return lengths / lengths.float().mean() if mean_over == "tokens" else torch.ones_like(lengths, dtype=torch.float32)


def pooled_nll(nll: Told, lengths: Told, rows: Sequence[Any], batch: int) -> float:
    """Mean nll of a token over all rows, so many read at a time: each row's mean and its count of tokens tell it."""
    total, tokens = 0.0, 0
    for first in range(0, len(rows), batch):
        some = rows[first : first + batch]
        counts = lengths(some)
        total, tokens = total + float((nll(some) * counts).sum()), tokens + int(counts.sum())
    return total / tokens


def token_costs(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The nll of each token, and the mean nll of all tokens of the vocabulary in its place: [n, V], [n] -> [n], [n].

    Label smoothing mixes them: (1 - share) * first + share * second (Szegedy et al. 2016).
    """
    normaliser = logits.logsumexp(dim=1)
    return normaliser - logits.gather(1, targets[:, None])[:, 0], normaliser - logits.mean(dim=1)


def token_divergence(logits: Tensor, reference: Tensor) -> Tensor:
    """KL(softmax(logits) || softmax(reference)) of each position, in nats: twice [n, V] -> [n], 0 where they agree."""
    own, other = logits.log_softmax(dim=1), reference.log_softmax(dim=1)
    return (own.exp() * (own - other)).sum(dim=1)


def likelihood_weights(nll: Tensor, temperature: float) -> Tensor:
    """Generation probabilities of a batch, normalised: softmax(-nll / T), [n] -> [n] summing to 1 (paper 3.2)."""
    return torch.softmax(-nll / temperature, dim=0)


def mixture_nll(nlls: Tensor, weights: Tensor) -> Tensor:
    """Negative log-likelihood under a mixture: each member's [n, K], its weights [n, K] summing to 1 -> [n].

    >>> mixture_nll(torch.tensor([[1.0, 1.0]]), torch.tensor([[0.25, 0.75]])).tolist()
    [1.0]
    """
    return -torch.logsumexp(weights.log() - nlls, dim=1)


def mixture_weights(nlls: Tensor, rounds: int = 200) -> Tensor:
    """The members' weights under which rows are likeliest, from their nlls: [n, K] -> [K] summing to 1.

    Expectation maximisation: a member's weight becomes its mean responsibility. Each counts as if it had written one
    row more than it did, so that none is silenced.
    """
    rows, members = nlls.shape
    weights = nlls.new_full((members,), 1 / members)
    for _ in range(rounds):
        responsible = torch.softmax(weights.log() - nlls, dim=1)  # [n, K]
        weights = (responsible.sum(0) + 1) / (rows + members)
    return weights
