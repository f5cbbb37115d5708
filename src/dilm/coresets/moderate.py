"""Moderate coreset (Xia et al., ICLR 2023): neither the most typical rows of a class nor its oddest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import class_by_class, points_of
from dilm.numerics.scores import nearest_median
from dilm.protocols import Encoder
from dilm.types import Dataset, Selection


@dataclass(frozen=True)
class Moderate:
    """The rows of each class whose distance to the class's mean is nearest the median of these distances.

    It looks at distances only, so the rows may all lie on one side of the centre: nothing makes them cover the class.
    """

    encoder: Encoder
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class; `rng` is not used."""
        points = points_of(self.encoder, pool, per_class)
        return class_by_class(pool, per_class, lambda rows: nearest_median(points[rows], per_class))
