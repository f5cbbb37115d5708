"""Herding (Welling 2009, as iCaRL greedily does it): rows whose running mean follows the mean of the class.

Towards the mean of *real* rows it is distribution matching (Zhao & Bilen, WACV 2023) by choice instead of by learning:
a pool of texts has its own bias, and its mean follows whatever the generator gets wrong.
"""

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
    real: Dataset | None = None
    """Rows whose classes' means are followed; None: those of the pool."""
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class; `rng` is not used."""
        points = points_of(self.encoder, pool, per_class)
        real = points if self.real is None else self.encoder.encode(self.real)

        def choose(rows: np.ndarray) -> np.ndarray:
            label = pool[int(rows[0])].label
            followed = rows if self.real is None else np.array(self.real.where(label))
            return geometry.herding(points[rows], per_class, real[followed].mean(axis=0, dtype=np.float64))

        return class_by_class(pool, per_class, choose)
