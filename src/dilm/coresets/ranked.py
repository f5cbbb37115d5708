"""Rows by a number of each: the hardest, or the middling ones; what a loss-based subset of text is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import class_by_class, require_rows
from dilm.types import Dataset, Selection

Ranking = Callable[[np.ndarray], np.ndarray]
"""The numbers of m rows [m] -> those rows from the first to be kept to the last, [m]."""


@dataclass(frozen=True)
class Ranked:
    """The rows of each class that come first when they are ordered by a number; equals in the order of the pool."""

    numbers: Callable[[Dataset], np.ndarray]
    """Asked once, for the whole pool: [n] -> [n]."""
    order: Ranking
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class; no `rng`."""
        require_rows(pool, per_class)
        numbers = np.asarray(self.numbers(pool), dtype=np.float64)
        return class_by_class(pool, per_class, lambda rows: self.order(numbers[rows])[:per_class])


def hardest(numbers: np.ndarray) -> np.ndarray:
    """The greatest first, as EL2N keeps them.

    >>> hardest(np.array([1.0, 3.0, 2.0])).tolist()
    [1, 2, 0]
    """
    return np.argsort(-numbers, kind="stable")


def middling(numbers: np.ndarray) -> np.ndarray:
    """Those nearest the median first: of perplexities the middle is what language models learn best from
    (Marion et al., When less is more, 2023).

    >>> middling(np.array([1.0, 3.0, 2.0, 9.0])).tolist()
    [2, 0, 1, 3]
    """
    return np.argsort(np.abs(numbers - np.quantile(numbers, 0.5, method="lower")), kind="stable")
