"""Facility location: greedily, rows such that every row of the class has one that is like it (a submodular choice)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import class_by_class, points_of
from dilm.numerics.submodular import facility_location
from dilm.protocols import Encoder
from dilm.types import Dataset, Selection


@dataclass(frozen=True)
class FacilityLocation:
    """The rows that stand in best for all rows of their class, nearest ones compared by squared distance.

    Similarity is the largest squared distance less the squared distance of the encoder's points; for points on the
    unit sphere that ranks as the cosine does. Every row of a class may be chosen. Of a class with more rows than
    `witnesses`, a random sample of that many, drawn from `seed`, stands for all that must be represented; so time and
    memory grow with rows times witnesses and not with the square of the rows.
    """

    encoder: Encoder
    witnesses: int = 2000
    seed: int = 0
    """Of the samples; a setting and not the `rng`, so that the method has one answer."""
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class; `rng` is not used."""
        points = points_of(self.encoder, pool, per_class)

        def choose(rows: np.ndarray) -> np.ndarray:
            own = points[rows]
            return facility_location(own, self._sample(own), per_class)

        return class_by_class(pool, per_class, choose)

    def _sample(self, points: np.ndarray) -> np.ndarray:
        """All of a small class, or a sample of a large one: [n, d] -> [m, d]."""
        if len(points) <= self.witnesses:
            return points
        rows = np.random.default_rng(self.seed).choice(len(points), self.witnesses, replace=False)
        return points[rows]
