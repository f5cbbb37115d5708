"""Membership inference: how well a score tells rows that were trained on from rows that were not.

A score is higher for what looks like a member. The attacker here knows the rows of both kinds and wants to know which
are which. Better attacks may exist: that these fail is no proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dilm.errors import DataError
from dilm.numerics.chances import auc, auc_interval, clopper_pearson, rank_sum_p, threshold_at

FEW_FALSE = 0.01
"""Share of rows that were not trained on which may be called members."""


@dataclass(frozen=True)
class Attack:
    """What one score gives away."""

    members: int
    others: int
    auc: float
    """The chance that a member scores above another row; 0.5 is guessing."""
    auc_low: float
    auc_high: float
    tpr: float
    """Share of members found while at most 1 % of the other rows are called members; 0.01 is guessing."""
    tpr_low: float
    tpr_high: float
    p: float
    """One-sided, of members not scoring higher."""


def attack(members: np.ndarray, others: np.ndarray) -> Attack:
    """How well scores tell members: [m], [n]. Raises DataError of no rows, and of scores that are no numbers.

    The threshold of the true-positive rate is taken from the other rows; its interval is exact given that threshold.
    """
    if not len(members) or not len(others):
        raise DataError("There are no rows on one side to tell apart.", "Hold out some rows, and train on some.")
    if not np.isfinite(members).all() or not np.isfinite(others).all():
        raise DataError("A score is no number.", "Use a model that gives each row a finite likelihood.")
    area = auc(members, others)
    found = int((members > threshold_at(others, FEW_FALSE)).sum())
    return Attack(
        len(members),
        len(others),
        area,
        *auc_interval(area, len(members), len(others)),
        found / len(members),
        *clopper_pearson(found, len(members)),
        rank_sum_p(members, others),
    )


def by_loss(nlls: Sequence[np.ndarray]) -> np.ndarray:
    """Rows that a model foretells well look like members (Yeom et al. 2018): token nlls of n texts -> [n]."""
    return np.array([-text.mean() for text in nlls])


def by_min_k(nlls: Sequence[np.ndarray], share: float) -> np.ndarray:
    """Rows without words that surprise look like members (Shi et al. 2024): token nlls of n texts -> [n].

    The mean log-likelihood of the `share` of tokens that are least likely, at least one.

    >>> by_min_k([np.array([1.0, 9.0, 2.0, 3.0])], share=0.5)
    array([-6.])
    """
    return np.array([-np.sort(text)[::-1][: max(1, round(share * len(text)))].mean() for text in nlls])


def by_reference(nlls: Sequence[np.ndarray], before: Sequence[np.ndarray]) -> np.ndarray:
    """Rows that training made likelier look like members (Carlini et al. 2021): token nlls twice, n texts -> [n]."""
    return by_loss(nlls) - by_loss(before)
