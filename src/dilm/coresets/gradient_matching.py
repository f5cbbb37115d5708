"""Gradient matching on real rows (GradMatch, Killamsetty et al., ICML 2021): rows that teach as the class does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from dilm.coresets.classwise import class_by_class
from dilm.numerics.pursuit import matching_pursuit
from dilm.types import Dataset, Example, Selection

if TYPE_CHECKING:
    from torch import Tensor


BLOCK = 1024
"""Real rows whose gradients are held at a time."""


class GradientSource(Protocol):
    """Any `protocols.Learner` as it stands, or several ages of it side by side."""

    def gradients(self, examples: Sequence[Example]) -> Tensor:
        """Gradient of each example's loss: n examples -> [n, P]."""
        ...


@dataclass(frozen=True)
class GradientMatching:
    """Greedily, rows of each class whose best non-negative combination is close to the class's mean gradient.

    The weights of that combination only steer the choice and are not kept: the set is used unweighted, as every other
    coreset is. So its own mean gradient is farther from the class's than the pursuit's residual says.

    Three departures from the published code. A row counts by the direction of its gradient, as in the textbook's
    pursuit, and not by its length, which without weights would hand the set over to the rows with the largest losses.
    The weights are plain non-negative least squares, without a penalty. And where no row helps any more the mean is
    matched again by the rows that are left, so that there are always `per_class` of them.
    """

    source: GradientSource
    """Asked once per class for the pool's different texts, whose gradients are held at a time, and once for all pools
    for the mean of the class's real rows."""
    real: Dataset
    """Rows whose classes' mean gradients are matched."""
    varies: ClassVar[bool] = False
    _targets: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class; `rng` is not used."""

        def choose(rows: np.ndarray) -> np.ndarray:
            target = self._target(pool[int(rows[0])].label)
            return matching_pursuit(self._gradients(pool.take(rows.tolist())), target, per_class)

        return class_by_class(pool, per_class, choose)

    def _target(self, label: int) -> np.ndarray:
        """Mean gradient of a class's real rows, which are read block by block."""
        if label not in self._targets:
            rows = self.real.of(label)
            starts = range(0, len(rows), BLOCK)
            sums = [self._gradients(rows[first : first + BLOCK]).sum(axis=0, dtype=np.float64) for first in starts]
            self._targets[label] = np.sum(sums, axis=0) / len(rows)
        return self._targets[label]

    def _gradients(self, rows: Dataset) -> np.ndarray:
        """[n, P]."""
        return self.source.gradients(rows).float().cpu().numpy()
