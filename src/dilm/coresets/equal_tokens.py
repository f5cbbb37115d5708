"""A subset of real rows with as many tokens as a given set has, of every class: what a fair rival of long texts is."""

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
    one at the least."""

    select: Any
    """A `protocols.Selector`, or one with filters around it."""
    tokens: Callable[[Dataset], Sequence[int]]
    """Of each row: n rows -> [n]."""
    budget: Sequence[int]
    """Of each class."""

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
        return all(
            sum(length for row, length in lengths.items() if pool[row].label == label) >= budget
            for label, budget in enumerate(self.budget)
        )

    def _within(self, pool: Dataset, lengths: dict[int, int]) -> tuple[int, ...]:
        """Of each class the first rows, in the order in which they were chosen, whose tokens are nearest the budget."""
        kept: list[int] = []
        for label, budget in enumerate(self.budget):
            mine = [row for row in lengths if pool[row].label == label]
            read = np.cumsum([lengths[row] for row in mine])
            kept += mine[: int(np.abs(read - budget).argmin()) + 1]
        return tuple(kept)
