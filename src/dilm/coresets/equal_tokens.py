"""A subset of real rows with as many tokens as a given set has: what a fair rival of long texts is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dilm.types import Dataset, Selection

GROWTH = 1.5
"""So many times as many rows are asked for until every class has tokens enough."""


@dataclass(frozen=True)
class EqualTokens:
    """Rows as `select` chooses them, of each class as many as bring its tokens nearest to its budget, above or below;
    one at the least.

    With `balanced`, as many of every class as bring the tokens of all nearest to the whole budget: learners that meet
    more rows of one class than of another prefer it.
    """

    select: Any
    """A `protocols.Selector`, or one with filters around it."""
    tokens: Callable[[Dataset], Sequence[int]]
    """Of each row: n rows -> [n]."""
    budget: Sequence[int]
    """Of each class."""
    balanced: bool = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """Distinct rows, class by class; `per_class` is only where the search for enough of them begins."""
        rows, most = per_class, min(pool.counts)
        while True:
            chosen = self.select(pool, min(rows, most), rng)
            lengths = dict(zip(chosen.positions, self.tokens(chosen.apply(pool)), strict=True))
            if rows >= most or self._enough(pool, lengths):
                return Selection(self._within(pool, lengths), pool.fingerprint)
            rows = int(rows * GROWTH) + 1

    def _enough(self, pool: Dataset, lengths: dict[int, int]) -> bool:
        if self.balanced:
            return sum(lengths.values()) >= sum(self.budget)
        read = (sum(lengths[row] for row in mine) for mine in self._by_class(pool, lengths))
        return all(tokens >= budget for tokens, budget in zip(read, self.budget, strict=True))

    def _within(self, pool: Dataset, lengths: dict[int, int]) -> tuple[int, ...]:
        """Of each class the first rows, in the order in which they were chosen, whose tokens are nearest the budget."""
        classes = self._by_class(pool, lengths)
        read = [np.cumsum([lengths[row] for row in mine]) for mine in classes]
        if self.balanced:  # of every class the selector chose as many
            counts = [_nearest(np.sum(read, axis=0), sum(self.budget))] * len(classes)
        else:
            counts = [_nearest(tokens, budget) for tokens, budget in zip(read, self.budget, strict=True)]
        return tuple(row for mine, count in zip(classes, counts, strict=True) for row in mine[:count])

    def _by_class(self, pool: Dataset, lengths: dict[int, int]) -> list[list[int]]:
        """The chosen rows of each class, in the order in which they were chosen."""
        return [[row for row in lengths if pool[row].label == label] for label in range(len(self.budget))]


def _nearest(read: np.ndarray, budget: int) -> int:
    """How many rows bring the tokens read so far nearest to the budget."""
    return int(np.abs(read - budget).argmin()) + 1
