"""What a set is worth and what a seed did, told apart: a mixed model of scores, crossed and unbalanced as they come.

A score is the mean of its group, plus an effect of its set, plus an effect of its seed, plus a rest, all three drawn
independently around 0. Their variances are estimated by restricted maximum likelihood (REML: Patterson & Thompson
1971), climbed by Fisher's scoring (Harville 1977) with variances that would be negative held at 0. Where scores are
balanced and none is, that is the textbook's analysis of variance. Scores that are missing because earlier ones were
poor, as in a race, do not mislead it as they do the method of moments (Rubin 1976).

What a set is worth is Henderson's (1975) best linear unbiased prediction: its own scores, less what its seeds did,
drawn towards the mean of its group by as much as they may be luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dilm.errors import DataError

MOST_UPDATES = 200
SETTLED = 1e-8
"""Updates end where no variance moves by more than this share of the whole."""
BOLDEST = 4.0
"""No update makes a variance more than so many times larger or smaller: far from the top, slopes may mislead."""
AGAIN = 1e-4
"""Of the whole variance: up to here a part may come back at once that was held at 0 too early."""
LEAST = 1e-10
"""Of the whole variance: what is left of a part that the scores do not show."""
NOTHING = 1e-30
"""Of a variance that is 0, in its place where it is divided by."""


@dataclass(frozen=True)
class Effects:
    """Standard deviations in the unit of the scores, and the estimated mean of every set."""

    sets: float
    """From set to set."""
    seeds: float | None
    """Of what a seed does to all sets alike; None where no seed met two sets, for then it is part of the rest."""
    rest: float
    """From training to training, beside that."""
    names: tuple[int, ...]
    """The sets, ascending."""
    means: np.ndarray
    """What each is worth: the score to expect of another training with another seed, [sets]."""
    errors: np.ndarray
    """Standard errors of these, as if the variances were known: [sets]."""


def fit_effects(
    scores: Sequence[float], sets: Sequence[int], seeds: Sequence[int], groups: Sequence[int] | None = None
) -> Effects:
    """Variances of sets, seeds and rest, and each set's mean: [n] scores, the set, seed and group of each -> `Effects`.

    `groups` have a mean of their own (a method that drew its sets); without them all sets are of one. Raises DataError
    where the variance of sets cannot be told from the rest's: two sets of a group, one of them trained on twice.

    >>> found = fit_effects([0.5, 0.6, 0.7, 0.8], sets=[0, 0, 1, 1], seeds=[0, 1, 0, 1])
    >>> round(found.sets, 3), round(found.seeds, 3), found.means.round(3).tolist()
    (0.141, 0.071, [0.55, 0.75])
    """
    values = np.asarray(scores, dtype=np.float64)
    of_set, of_seed = _indicators(sets), _indicators(seeds)
    fixed = _indicators(groups if groups is not None else np.zeros(len(values)))
    parts = [np.eye(len(values)), of_set @ of_set.T, of_seed @ of_seed.T]
    told = _told_apart(parts, fixed)
    if 1 not in told:
        raise DataError(
            "These scores do not tell sets from luck.", "Train on two sets of a method or more, on one of them twice."
        )
    variances = np.zeros(len(parts))
    variances[told] = _reml(values, fixed, [parts[part] for part in told])
    means, errors = _predicted(values, fixed, of_set, variances[1], _sum(variances, parts))
    rest, between, of_seeds = np.sqrt(variances).tolist()
    names = tuple(np.unique(np.asarray(sets)).tolist())
    return Effects(between, of_seeds if 2 in told else None, rest, names, means, errors)


def _indicators(names: Sequence[int] | np.ndarray) -> np.ndarray:
    """Which level each score has: [n, levels], one 1 in each row."""
    levels, positions = np.unique(np.asarray(names), return_inverse=True)
    return np.eye(len(levels))[positions.ravel()]


def _told_apart(parts: Sequence[np.ndarray], fixed: np.ndarray) -> list[int]:
    """Parts of the variance that these scores can show, each beside the ones before it."""
    beside = np.eye(len(fixed)) - fixed @ np.linalg.pinv(fixed)
    seen, found = [], []
    for number, part in enumerate(parts):
        shown = (beside @ part @ beside).ravel()
        if np.linalg.matrix_rank(np.stack([*seen, shown]), tol=1e-8 * len(fixed)) > len(seen):
            seen.append(shown)
            found.append(number)
    return found


def _reml(values: np.ndarray, fixed: np.ndarray, parts: Sequence[np.ndarray]) -> np.ndarray:
    """The variances that make the scores, beside their groups' means, likeliest: [parts]."""
    whole = float(np.var(values - fixed @ np.linalg.lstsq(fixed, values, rcond=None)[0]))
    if whole <= np.finfo(float).eps * float(np.max(np.abs(values), initial=1.0)):
        return np.zeros(len(parts))
    least, variances = LEAST * whole, np.full(len(parts), whole / len(parts))
    for _ in range(MOST_UPDATES):
        slopes, information = _likelihood(values, fixed, parts, variances)
        wanted = variances + _step(variances, slopes, information)
        new = np.clip(wanted, np.maximum(variances / BOLDEST, least), np.maximum(BOLDEST * variances, AGAIN * whole))
        moved, variances = np.abs(new - variances).max(), new
        if moved < SETTLED * whole:
            break
    return np.where(variances > 10 * least, variances, 0.0)


def _step(variances: np.ndarray, slopes: np.ndarray, information: np.ndarray) -> np.ndarray:
    """To where the slopes would be level. A variance that would become negative goes down for itself: what the others
    do must not count on more than it can give. [parts] -> [parts]."""
    free = np.full(len(variances), True)
    while True:
        step = -variances.copy()
        step[free] = np.linalg.solve(information[np.ix_(free, free)], slopes[free])
        beyond = free & (variances + step <= 0) & (slopes < 0)
        if not beyond.any() or beyond.sum() == free.sum():
            return step
        free &= ~beyond


def _likelihood(
    values: np.ndarray, fixed: np.ndarray, parts: Sequence[np.ndarray], variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slope of the restricted log-likelihood in each variance, and Fisher's information: [parts], [parts, parts]."""
    weights = _beside_means(_sum(variances, parts), fixed)
    pulled = weights @ values
    seen = [weights @ part for part in parts]
    slopes = [pulled @ part @ pulled - np.trace(each) for part, each in zip(parts, seen, strict=True)]
    information = [[np.sum(one * other.T) for other in seen] for one in seen]
    return np.array(slopes) / 2, np.array(information) / 2


def _sum(variances: np.ndarray, parts: Sequence[np.ndarray]) -> np.ndarray:
    """The covariance of the scores: [n, n]."""
    return np.einsum("k,kij->ij", variances, np.stack(parts))


def _beside_means(covariance: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """The inverse covariance of what is left when the groups' means are estimated too (P of the textbooks): [n, n]."""
    inverse = np.linalg.inv(covariance)
    through = inverse @ fixed
    return inverse - through @ np.linalg.solve(fixed.T @ through, through.T)


def _predicted(
    values: np.ndarray, fixed: np.ndarray, of_set: np.ndarray, between: float, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each set's mean and the standard error of its prediction: [sets], [sets]."""
    ridge = LEAST * float(np.trace(covariance)) / len(values) or NOTHING
    inverse = np.linalg.inv(covariance + ridge * np.eye(len(values)))
    sure = np.linalg.inv(fixed.T @ inverse @ fixed)  # covariance of the groups' means
    group_means = sure @ fixed.T @ inverse @ values
    shared = between * of_set  # covariance of scores and effects of sets: [n, sets]
    groups = (of_set / of_set.sum(axis=0)).T @ fixed  # [sets, groups]
    means = groups @ group_means + shared.T @ inverse @ (values - fixed @ group_means)
    short = groups - shared.T @ inverse @ fixed
    variance = (
        between - np.einsum("ns,nm,ms->s", shared, inverse, shared) + np.einsum("sg,gh,sh->s", short, sure, short)
    )
    return means, np.sqrt(np.maximum(variance, 0.0))
