"""Attention labels: where a learner should look when it reads a learnt row (Maekawa et al., ACL 2023).

A soft label tells what to answer, an attention label which tokens to answer from: for every layer and head a
distribution over the row's positions. Both are learnt with the row, and the learner's few steps descend to both.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LABELLED = ("none", "cls", "all")
"""Whose attention is labelled: nobody's, that of the position which the head reads, or that of every position."""

FAINTEST = 1e-6
"""Attention below it counts as that much: its logarithm is learnt, and a masked position has none at all."""


class Looking(NamedTuple):
    """Attention labels of the rows of one step: [n, layers, heads, q, T], and how much they count beside the labels."""

    labels: Tensor
    weight: float


def attention_mismatch(labels: Tensor, attention: Tensor) -> Tensor:
    """Divergence of the labels from the attention, in nats, mean over rows, layers, heads and queries: a scalar.

    Kullback-Leibler, of distributions over the last axis: [..., T], [..., T].
    """
    gap = labels.clamp_min(FAINTEST).log() - attention.clamp_min(FAINTEST).log()
    return (labels * gap).sum(-1).mean()


def attention_logits(attention: Tensor) -> Tensor:
    """What is learnt: logits whose softmax is the given attention, so that learning begins with no wish for another."""
    return torch.log(attention.clamp_min(FAINTEST))
