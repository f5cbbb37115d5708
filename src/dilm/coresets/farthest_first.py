"""Greedy k-center (Gonzalez 1985; Sener and Savarese 2018): always the row farthest from those kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import class_by_class, points_of
from dilm.numerics import geometry
from dilm.protocols import Encoder
from dilm.types import Dataset, Selection


@dataclass(frozen=True)
class FarthestFirst:
    """From a random first row outwards: covers the class to its edges, and so keeps its oddities too."""

    encoder: Encoder
    varies: ClassVar[bool] = True

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class."""
        points = points_of(self.encoder, pool, per_class)

        def choose(rows: np.ndarray) -> np.ndarray:
            return geometry.farthest_first(points[rows], per_class, start=int(rng.integers(len(rows))))

        return class_by_class(pool, per_class, choose)
