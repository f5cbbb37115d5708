"""K-means, then the row nearest each centre: what the paper calls "k-centers" (section 1.6 of its protocol)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import class_by_class, points_of
from dilm.numerics import clustering
from dilm.protocols import Encoder
from dilm.types import Dataset, Selection


@dataclass(frozen=True)
class KMeansNearest:
    """As many clusters as rows are wanted, and of each the row at its heart: typical rows that cover the class.

    It is not greedy k-center, despite the paper's name for it; that is `farthest_first.FarthestFirst`.
    """

    encoder: Encoder
    varies: ClassVar[bool] = True

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class."""
        points = points_of(self.encoder, pool, per_class)

        def choose(rows: np.ndarray) -> np.ndarray:
            return clustering.kmeans_nearest(points[rows], per_class, seed=int(rng.integers(2**31)))

        return class_by_class(pool, per_class, choose)
