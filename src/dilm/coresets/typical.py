"""Typical rows: of each class those that say much and leave no doubt of their class, then k-means nearest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import class_by_class, points_of
from dilm.numerics import clustering
from dilm.numerics.probe import Probe
from dilm.protocols import Encoder
from dilm.types import Dataset, Selection

SPARE = 2
"""However small the shares, this many candidates for each row wanted: k-means must have something to choose from."""


@dataclass(frozen=True)
class Typical:
    """K-means nearest among the `long` share of longest rows, and of those the `sure` share of the surest.

    How sure is asked of a linear probe on the encoder's points, fitted to the real rows: a generator's text may belie
    its label, and a real row may be a fragment that fits every class. Shares are of the class's rows in the pool.
    """

    encoder: Encoder
    probe: Probe
    long: float = 0.5
    sure: float = 0.1
    varies: ClassVar[bool] = True

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class."""
        points = points_of(self.encoder, pool, per_class)
        doubts = self._doubts(points, pool)
        shortness = np.array([-sum(map(len, example.texts)) for example in pool])

        def choose(rows: np.ndarray) -> np.ndarray:
            longest = _least(shortness[rows], self.long, len(rows), per_class)
            surest = longest[_least(doubts[rows[longest]], self.sure, len(rows), per_class)]
            seed = int(rng.integers(2**31))
            return surest[clustering.kmeans_nearest(points[rows[surest]], per_class, seed)]

        return class_by_class(pool, per_class, choose)

    def _doubts(self, points: np.ndarray, pool: Dataset) -> np.ndarray:
        """How unlikely the probe finds each row's own class: [n]."""
        return -self.probe.log_probabilities(points)[np.arange(len(pool)), pool.labels]


def _least(values: np.ndarray, share: float, rows: int, per_class: int) -> np.ndarray:
    """Places of the least values, as many as `share` of `rows` or as are needed at the least, ascending."""
    room = max(math.ceil(share * rows), SPARE * per_class)
    return np.sort(np.argsort(values, kind="stable")[:room])
