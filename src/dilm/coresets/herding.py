"""Herding (Welling 2009, as iCaRL greedily does it): rows whose running mean follows the mean of the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import class_by_class, points_of
from dilm.numerics import geometry
from dilm.protocols import Encoder
from dilm.types import Dataset, Selection


@dataclass(frozen=True)
class Herding:
    """The same rows every time: the first k of a longer selection are the selection of k."""

    encoder: Encoder
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class; `rng` is not used."""
        points = points_of(self.encoder, pool, per_class)
        return class_by_class(pool, per_class, lambda rows: geometry.herding(points[rows], per_class))
