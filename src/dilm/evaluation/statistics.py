"""From trials to statements: means with honest intervals, and differences paired by seed.

A method's scores vary for two reasons: another draw of the set, and another training on it. A hundred trials of 20 sets
are closer to 20 independent measurements than to 100, and ordinary error bars over trials are too narrow. So every set
and every training seed gets a random weight (the Bayesian bootstrap, Rubin 1981, over two factors), shared by all
trials that have the set or the seed in common, and the spread of the weighted means is the spread of the mean. What a
seed does to several sets, or to two methods alike, is thereby counted once, or cancels. So does what a set does to
another that was made from it: our set with soft labels, or the real rows nearest to it, shares our set's weight.

Bootstraps of few units are too narrow as well: intervals are stretched about the mean as a t interval is against a
normal one. In simulations with five sets or more, the 95 % interval covered the truth in 94 to 100 % of cases, unless a
seed moved all sets alike, more than all else did, and there were few seeds: about 85 % with five seeds, and with one
there is no telling. Differences between methods are free of that, as long as these share their seeds. Two sets give an
interval too wide to be of use, and rightly so: draw five or more.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from dilm.errors import DataError
from dilm.evaluation.variants import AUGMENTED, SOFT
from dilm.types import Score

LEVEL = 0.95
RESAMPLES = 2000

MADE_FROM = {"nearest": "dilm"}
"""Methods whose every set follows from the set of the same number of another: here real rows, text by text."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Summary:
    """What the trials of one method, learner and size say together. Values as in `Score.value`."""

    method: str
    learner: str
    per_class: int
    mean: float
    """Mean of the sets' means: the score to expect of another draw, trained another time."""
    low: float | None
    """Ends of the interval of the mean; None where a single training cannot tell."""
    high: float | None
    sd_sets: float | None
    """Standard deviation from draw to draw, without the share of the seeds where that can be told; None of one set."""
    sd_seeds: float | None
    """Standard deviation from training to training on one set; None where no set was trained on twice."""
    sets: int
    """With one set only, the interval says nothing about other draws."""
    seeds: int
    """Trainings of the set that has most."""
    n: int
    """Trials."""
    level: float = LEVEL


@dataclass(frozen=True)
class Difference:
    """How much better a method is than a baseline, averaged over the learners and sizes that both were tried with."""

    mean: float
    low: float | None
    """Ends of the interval; None where neither sets nor seeds were repeated."""
    high: float | None
    p: float | None
    """Two-sided, of no difference; below 0.05 where the interval excludes 0."""
    n: int
    """Trials of the method that were compared."""
    pairs: int
    """Seeds that both sides share, summed over learners and sizes; 0: the sides were compared as independent."""
    level: float = LEVEL


def summarise(scores: Iterable[Score], rng: np.random.Generator, most: float = 1.0) -> list[Summary]:
    """One summary for each method, learner and size, sorted by these; no score is above `most`."""
    weights = _Weights(rng)
    return [_summary(trials, weights, most) for trials in _by_arm(scores).values()]


def paired(scores: Iterable[Score], method: str, baseline: str, rng: np.random.Generator) -> Difference:
    """The mean difference `method` - `baseline`, learner by learner and size by size; what shared seeds do cancels.

    All trials count, also of seeds that only one side has. A baseline without sizes (full data, `per_class` 0) is
    compared with every size; one that was trained once counts as exact. Two that share every trial, as the generator
    before matching does where matching was not kept, differ by 0 without doubt. Raises DataError where the two have no
    learner and size in common.
    """
    cells = _cells(scores, method, baseline)
    trials = sum(len(ours) for ours, _ in cells)
    pairs = sum(len(_seeds(ours) & _seeds(theirs)) for ours, theirs in cells)
    units = min(_units(ours, theirs) for ours, theirs in cells)
    if units > 1 and all(_values(ours) == _values(theirs) for ours, theirs in cells):
        return Difference(0.0, 0.0, 0.0, 1.0, n=trials, pairs=pairs)
    weights = _Weights(rng)
    replicates = np.mean([_replicates(ours, weights) - _replicates(theirs, weights) for ours, theirs in cells], axis=0)
    mean = float(np.mean([_mean(ours) - _mean(theirs) for ours, theirs in cells]))
    spread = _stretched(replicates, mean, units)
    low, high = _interval(spread)
    return Difference(mean, low, high, _p(spread), n=trials, pairs=pairs)


@dataclass(frozen=True)
class _Weights:
    """A random weight for each set and each seed in each resample, drawn when first asked for and then kept."""

    rng: np.random.Generator
    known: dict[Hashable, np.ndarray] = field(default_factory=dict)

    def of(self, *unit: Hashable) -> np.ndarray:
        """[resamples], exponential with mean 1: normalised, these are the weights of the Bayesian bootstrap."""
        if unit not in self.known:
            self.known[unit] = self.rng.exponential(size=RESAMPLES)
        return self.known[unit]


def _summary(trials: Sequence[Score], weights: _Weights, most: float) -> Summary:
    first, mean, sets = trials[0], _mean(trials), _by_set(trials)
    low, high = _interval(_stretched(_replicates(trials, weights), mean, _units(trials)))
    sd_sets, sd_seeds = _deviations([np.array([score.value for score in rows]) for rows in sets])
    return Summary(
        method=first.method,
        learner=first.learner,
        per_class=first.per_class,
        mean=mean,
        low=None if low is None else max(low, 0.0),
        high=None if high is None else min(high, most),
        sd_sets=sd_sets,
        sd_seeds=sd_seeds,
        sets=len(sets),
        seeds=max(len(rows) for rows in sets),
        n=len(trials),
    )


def _replicates(trials: Sequence[Score], weights: _Weights) -> np.ndarray:
    """The mean of the sets' means under each draw of weights: [resamples]."""
    total = np.zeros(RESAMPLES)
    mass = np.zeros(RESAMPLES)
    for rows in _by_set(trials):
        seeds = np.stack([weights.of("seed", score.learner, score.seed) for score in rows])  # [trainings, resamples]
        mean = np.array([score.value for score in rows]) @ seeds / seeds.sum(axis=0)
        weight = weights.of("set", _drawn_by(rows[0].method), rows[0].per_class, rows[0].set)
        total += weight * mean
        mass += weight
    return total / mass


def _values(trials: Sequence[Score]) -> dict[tuple[int, int], float]:
    return {(score.set, score.seed): score.value for score in trials}


def _drawn_by(method: str) -> str:
    """The method whose draw decides a set: another's where this one's set number 3 is made from that one's number 3.

    >>> [_drawn_by(name) for name in ("nearest", "dilm+soft", "random+augmented", "untuned", "my+set")]
    ['dilm', 'dilm', 'random', 'untuned', 'my+set']
    """
    base, _, way = method.partition("+")
    return base if way in (SOFT, AUGMENTED) else MADE_FROM.get(method, method)


def _stretched(replicates: np.ndarray, mean: float, units: int) -> np.ndarray | None:
    """Replicates moved away from the mean until their quantiles are those of a t interval of `units` measurements.

    The Bayesian bootstrap's variance is (n - 1) / (n + 1) of the right one, and its tails are normal instead of t's.
    """
    from scipy.special import ndtri, stdtrit

    if units < 2:
        return None
    tail = (1 + LEVEL) / 2
    stretch = stdtrit(units - 1, tail) / ndtri(tail) * np.sqrt((units + 1) / (units - 1))
    return mean + stretch * (replicates - mean)


def _interval(spread: np.ndarray | None) -> tuple[float, float] | tuple[None, None]:
    if spread is None:
        return None, None
    low, high = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _p(spread: np.ndarray | None) -> float | None:
    """Twice the share of resamples on the rarer side of 0; at least one in their number, which cannot tell less."""
    if spread is None:
        return None
    beyond = min(np.sum(spread <= 0), np.sum(spread >= 0))
    return float(np.clip(2 * beyond, 1, len(spread)) / len(spread))


def _units(*sides: Sequence[Score]) -> int:
    """Independent measurements: sets of the side that has fewest but more than one, or else seeds."""
    sets = [len(_by_set(trials)) for trials in sides]
    return min((count for count in sets if count > 1), default=min(len(_seeds(trials)) for trials in sides))


def _deviations(sets: Sequence[np.ndarray]) -> tuple[float | None, float | None]:
    """Standard deviations between sets and between trainings of one set, by analysis of variance."""
    freedom = sum(len(values) - 1 for values in sets)
    within = sum(float(np.sum((values - values.mean()) ** 2)) for values in sets) / freedom if freedom else None
    sd_seeds = None if within is None else within**0.5
    if len(sets) == 1:
        return None, sd_seeds
    share = (within or 0.0) * np.mean([1 / len(values) for values in sets])  # of the seeds in the variance of means
    between = np.var([values.mean() for values in sets], ddof=1) - share
    return float(max(between, 0.0) ** 0.5), sd_seeds


def _cells(scores: Iterable[Score], method: str, baseline: str) -> list[tuple[list[Score], list[Score]]]:
    """Trials of both sides for each learner and size that both have."""
    groups = _by_arm(scores)
    cells = []
    for (name, learner, per_class), ours in groups.items():
        theirs = groups.get((baseline, learner, per_class)) or groups.get((baseline, learner, 0))
        if name == method and theirs:
            cells.append((ours, theirs))
    if not cells:
        found = ", ".join(sorted({arm[0] for arm in groups})) or "nothing"
        raise DataError(
            f"{method!r} and {baseline!r} have no learner and size in common; there are scores of {found}.",
            "Evaluate both with the same learner and the same number per class.",
        )
    return cells


def _by_arm(scores: Iterable[Score]) -> dict[tuple[str, str, int], list[Score]]:
    return _grouped(scores, lambda score: (score.method, score.learner, score.per_class))


def _grouped(scores: Iterable[Score], key: Callable[[Score], Key]) -> dict[Key, list[Score]]:
    """Trials by key, both in sorted order, so that no result depends on the order in which trials were run."""
    groups: dict[Key, list[Score]] = {}
    for score in sorted(scores, key=lambda s: (s.method, s.learner, s.per_class, s.set, s.seed, s.value)):
        groups.setdefault(key(score), []).append(score)
    return groups


def _by_set(trials: Iterable[Score]) -> list[list[Score]]:
    return list(_grouped(trials, lambda score: score.set).values())


def _seeds(trials: Iterable[Score]) -> set[int]:
    return {score.seed for score in trials}


def _mean(trials: Sequence[Score]) -> float:
    """Each set counts alike, however many trainings of it there are."""
    return float(np.mean([np.mean([score.value for score in rows]) for rows in _by_set(trials)]))
