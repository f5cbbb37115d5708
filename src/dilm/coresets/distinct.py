"""Any selection without near-duplicates: what an earlier row of its class nearly repeats is left out beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dilm.coresets.classwise import candidates, points_of
from dilm.numerics.duplicates import stand_ins
from dilm.protocols import Encoder, Selector
from dilm.types import Dataset, Selection


@dataclass(frozen=True)
class Distinct:
    """`select` among the rows that no earlier row of their class is near to, by the cosine of the encoder's points.

    No row is left out that has nothing like it among those that stay; nearly all near-duplicates are found, not all.
    A class that would be left with fewer rows than are wanted stays whole.
    """

    encoder: Encoder
    select: Selector
    cosine: float
    """From which on two rows are near-duplicates; above 0, at most 1."""
    seed: int = 0
    """Of the search; a setting and not the `rng`, so that every draw of `select` meets the same rows."""

    @property
    def varies(self) -> bool:
        return self.select.varies

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, as `select` chooses among those that stay."""
        kept = self.kept(pool, per_class)
        chosen = self.select(pool.take(kept), per_class, rng)
        return Selection(tuple(kept[position] for position in chosen.positions), pool.fingerprint)

    def kept(self, pool: Dataset, per_class: int) -> list[int]:
        """Positions of the rows that stay: ascending."""
        points = points_of(self.encoder, pool, per_class)
        classes = [
            self._kept(points, candidates(pool, label, per_class, set()), per_class) for label in pool.task.conditions
        ]
        return np.sort(np.concatenate(classes)).tolist()

    def _kept(self, points: np.ndarray, rows: np.ndarray, per_class: int) -> np.ndarray:
        """Of one class's different texts: [m] positions -> those that stay."""
        alone = rows[stand_ins(points[rows], self.cosine, self.seed) == np.arange(len(rows))]
        return alone if len(alone) >= per_class else rows
