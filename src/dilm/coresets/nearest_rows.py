"""The nearest real row to each of a few texts: does a synthetic text teach more than its own neighbour?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import class_by_class, points_of
from dilm.errors import RecipeError
from dilm.protocols import Encoder
from dilm.types import Dataset, Selection


@dataclass(frozen=True)
class NearestRows:
    """For every text a row of its class, all different, such that the squared distances sum to the least."""

    encoder: Encoder
    texts: Dataset
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """A row for each of the class's texts, in their order; no `rng`. There must be `per_class` texts of each."""
        from scipy.optimize import linear_sum_assignment

        if set(self.texts.counts) != {per_class}:
            raise RecipeError(
                f"The texts are {self.texts.counts} of the classes, not {per_class} of each.",
                "Ask for as many rows as there are texts.",
            )
        points = points_of(self.encoder, pool, per_class)

        def choose(rows: np.ndarray) -> np.ndarray:
            wanted = self.encoder.encode(self.texts.of(pool[int(rows[0])].label))
            return linear_sum_assignment(_squared_distances(wanted, points[rows]))[1]

        return class_by_class(pool, per_class, choose)


def _squared_distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """[k, d], [m, d] -> [k, m] in float64: differences of large squares need its digits."""
    left, right = left.astype(np.float64), right.astype(np.float64)
    return np.square(left).sum(1)[:, None] - 2 * left @ right.T + np.square(right).sum(1)
