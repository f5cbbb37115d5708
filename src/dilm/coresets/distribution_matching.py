"""Distribution matching (Zhao & Bilen, WACV 2023) by choice instead of by learning: herding towards *real* rows.

The mean of a pool of texts follows whatever the generator gets wrong, and herding follows it there. The real rows' mean
says where a class lies. Points of several kinds side by side stand for learners of several kinds: those that read, and
those that count words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import class_by_class, require_rows
from dilm.numerics.geometry import herding
from dilm.protocols import Encoder
from dilm.types import Dataset, Example, Selection


@dataclass(frozen=True)
class DistributionMatching:
    """Greedily, rows of each class whose mean follows the mean of the class's real rows, for all encoders together."""

    encoders: Sequence[Encoder]
    real: Dataset
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class; `rng` is not used."""
        require_rows(pool, per_class)
        points = self._points(pool)

        def choose(rows: np.ndarray) -> np.ndarray:
            return herding(points[rows], per_class, self._means[pool[int(rows[0])].label])

        return class_by_class(pool, per_class, choose)

    @cached_property
    def _means(self) -> np.ndarray:
        """Of every class: [classes, d]."""
        points = self._points(self.real)
        rows = (np.array(self.real.where(label)) for label in self.real.task.conditions)  # each class has some
        return np.stack([points[each].mean(axis=0, dtype=np.float64) for each in rows])

    def _points(self, rows: Sequence[Example]) -> np.ndarray:
        """Of all encoders side by side: [n, d]."""
        return np.hstack([encoder.encode(rows) for encoder in self.encoders])
