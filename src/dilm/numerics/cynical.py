"""Cynical data selection (Axelrod 2017): greedily, texts that bring a set's n-gram model nearest to a language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MASS = 50.0
"""Counts that every n-gram shares before any text is chosen: what keeps the model of a small set finite."""


class Model:
    """An n-gram model of a growing set, and the cross-entropy of the language that it is to learn."""

    def __init__(self, wanted: np.ndarray) -> None:
        """`wanted`: how often each n-gram stands in that language [V]."""
        self.share = wanted / max(wanted.sum(), 1)
        self.counts = np.full(len(wanted), MASS / max(len(wanted), 1))
        self.total = MASS

    @property
    def entropy(self) -> float:
        """Mean nats of one wanted n-gram."""
        return float(np.log(self.total) - self.share @ np.log(self.counts))

    def after(self, texts: csr_matrix, sizes: np.ndarray) -> np.ndarray:
        """The same with each of n texts alone added; `sizes` are their n-grams, known or not: [n, V], [n] -> [n]."""
        known = self.counts[texts.indices]
        gained = self.share[texts.indices] * np.log1p(texts.data / known)
        rows = np.repeat(np.arange(len(sizes)), np.diff(texts.indptr))
        gain = np.bincount(rows, gained, minlength=len(sizes))
        return np.log(self.total + sizes) - self.share @ np.log(self.counts) - gain

    def add(self, text: csr_matrix, size: float) -> None:
        """One row of counts [1, V]."""
        self.counts[text.indices] += text.data
        self.total += size


def cynical(
    texts: csr_matrix, sizes: np.ndarray, wanted: np.ndarray, groups: Sequence[np.ndarray], k: int
) -> list[list[int]]:
    """`k` rows of each group, chosen in turns for the set that all of them make: [n, V], [n], [V] -> rows by group.

    Groups hold at least `k` row numbers each; equally good rows are chosen in their order.

    >>> from scipy.sparse import csr_matrix
    >>> counts = csr_matrix([[2, 0, 0], [1, 1, 0], [0, 0, 1]])
    >>> cynical(counts, np.array([2, 2, 1]), np.array([1, 1, 0]), [np.array([0, 1, 2])], k=1)
    [[1]]
    """
    model, chosen = Model(wanted), [[] for _ in groups]
    counts = [texts[rows] for rows in groups]
    for _ in range(k):
        for group, rows in enumerate(groups):
            entropy = model.after(counts[group], sizes[rows])
            entropy[chosen[group]] = np.inf
            best = int(entropy.argmin())
            model.add(counts[group][best], float(sizes[rows[best]]))
            chosen[group].append(best)
    return [rows[places].tolist() for rows, places in zip(groups, chosen, strict=True)]
