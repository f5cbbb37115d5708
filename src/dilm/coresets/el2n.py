"""EL2N (Paul et al. 2021, "Deep learning on a data diet"): the rows that young learners get most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from dilm.coresets.classwise import class_by_class, require_rows
from dilm.errors import RecipeError
from dilm.numerics.scores import error_norms
from dilm.types import Dataset, Example, Selection

if TYPE_CHECKING:
    from torch import Tensor


class Forecaster(Protocol):
    """What has seen the task and says how probable each class is: a learner after a short training."""

    def probabilities(self, examples: Sequence[Example]) -> Tensor:
        """Of every class: n examples -> [n, classes], each row summing to 1."""
        ...


@dataclass(frozen=True)
class EL2N:
    """The rows of each class with the largest mean error norm, ||probabilities - onehot||, over several judges.

    Known to be poor where few rows are kept, and here as a baseline only: the hardest rows of a class are often
    mislabelled or ambiguous, and a learner that sees nothing else may fall below chance (CondenseLM reports 28 to 32 %
    on SST-2 with 5 to 20 rows per class). The method was made for leaving out a part of a large dataset.
    """

    judges: Sequence[Forecaster]
    """Each asked once, for the whole pool; the paper averages ten learners, trained for a few epochs."""
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, the hardest first, equals in the order of the pool; no `rng`."""
        require_rows(pool, per_class)
        hardness = self._hardness(pool)
        return class_by_class(pool, per_class, lambda rows: np.argsort(-hardness[rows], kind="stable")[:per_class])

    def _hardness(self, pool: Dataset) -> np.ndarray:
        """Mean error norm of each row over the judges: [n]."""
        if not self.judges:
            raise RecipeError("EL2N has no judges.", "Give it one briefly trained learner or more.")
        labels = np.array(pool.labels)
        norms = [error_norms(judge.probabilities(pool).float().cpu().numpy(), labels) for judge in self.judges]
        return np.mean(norms, axis=0)
