"""Rows at random: the baseline that every other method must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import class_by_class
from dilm.types import Dataset, Selection


@dataclass(frozen=True)
class Random:
    """`per_class` different texts of each class, all equally likely."""

    varies: ClassVar[bool] = True

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class."""
        return class_by_class(pool, per_class, lambda rows: rng.choice(len(rows), per_class, replace=False))
