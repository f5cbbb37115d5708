"""DD-Ranking's two scores (2505.13300): what a small set is worth when labels and augmentation are the same for all.

Both are shares of an exponential scale that is narrow in practice: no difference to anything gives 0.27. Their parts
say more, so they are kept. All accuracies are 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import e, exp

WEIGHT = 0.5
"""Of the first part in either score, as in DD-Ranking."""


@dataclass(frozen=True)
class LabelRobust:
    """The label-robust score and its parts."""

    lost: float
    """Full data less ours, both with hard labels: DD-Ranking's HLR."""
    gained: float
    """Ours less random rows, both with the same soft labels: its IOR."""
    score: float


@dataclass(frozen=True)
class AugmentationRobust:
    """The augmentation-robust score and its parts."""

    augmented: float
    """Ours less random rows, both augmented alike."""
    plain: float
    """Ours less random rows, neither augmented."""
    score: float


def label_robust(ours: float, full: float, ours_soft: float, random_soft: float) -> LabelRobust:
    """From mean accuracies.

    >>> round(label_robust(0.8, full=0.8, ours_soft=0.7, random_soft=0.7).score, 3)
    0.269
    """
    lost, gained = full - ours, ours_soft - random_soft
    return LabelRobust(lost, gained, normalised(WEIGHT * gained - (1 - WEIGHT) * lost))


def augmentation_robust(
    ours: float, random: float, ours_augmented: float, random_augmented: float
) -> AugmentationRobust:
    """From mean accuracies."""
    augmented, plain = ours_augmented - random_augmented, ours - random
    return AugmentationRobust(augmented, plain, normalised(WEIGHT * augmented + (1 - WEIGHT) * plain))


def normalised(value: float) -> float:
    """-1 to 1 -> 0 to 1, exponentially.

    >>> normalised(-1.0), normalised(1.0)
    (0.0, 1.0)
    """
    return (exp(value) - 1 / e) / (e - 1 / e)
