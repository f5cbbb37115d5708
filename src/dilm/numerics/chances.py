"""Exact and near-exact statistics of small counts: intervals of shares, of ranks, and how surprising an overlap is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dilm.errors import DataError

LEVEL = 0.95
"""Of every interval, unless it is said otherwise."""
HALVINGS = 50
"""By which the end of an interval is found."""


def clopper_pearson(hits: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact two-sided interval of a share: hits, trials -> low, high. Without trials it is all of 0 to 1.

    >>> [round(end, 4) for end in clopper_pearson(0, 10)], [round(end, 4) for end in clopper_pearson(5, 10)]
    ([0.0, 0.3085], [0.1871, 0.8129])
    """
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return low, high


def at_least(hits: int, trials: int, share: float) -> float:
    """The chance of so many hits or more where each is one with probability `share`: a binomial's upper tail.

    >>> at_least(2, 2, 0.5), at_least(0, 2, 0.5)
    (0.25, 1.0)
    """
    from scipy.special import bdtrc

    if hits > trials:
        return 0.0
    return float(bdtrc(hits - 1, trials, share)) if hits > 0 else 1.0


def drawn_at_least(hits: int, drawn: int, marked: int, whole: int) -> float:
    """The chance of `hits` marked or more among `drawn` of `whole` things of which `marked` are: hypergeometric.

    >>> round(drawn_at_least(2, 2, 5, 10), 4)  # 5/10 * 4/9
    0.2222
    """
    counts = np.arange(max(hits, 0, drawn - (whole - marked)), min(drawn, marked) + 1)
    if not len(counts):
        return 0.0
    parts = _log_choose(marked, counts) + _log_choose(whole - marked, drawn - counts)
    return float(min(np.exp(parts - _log_choose(whole, np.array(drawn))).sum(), 1.0))


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """The chance that a member scores above another, ties counting half: [m], [n] -> 0 to 1.

    >>> auc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    0.875
    """
    ranks = _ranks(np.concatenate([members, others]))
    count = len(members)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(others)))


def auc_interval(area: float, members: int, others: int, level: float = LEVEL) -> tuple[float, float]:
    """A score interval of an area under the curve, which is none too narrow at 0 and 1 (Newcombe 2006, method 5).

    All areas whose own standard error (Hanley and McNeil, with both counts averaged) does not reach the observed one.
    """
    from scipy.special import ndtri

    reach = float(ndtri((1 + level) / 2)) ** 2

    def within(true: float) -> bool:
        return (true - area) ** 2 <= reach * _variance(true, members, others)

    return _end(within, area, 0.0), _end(within, area, 1.0)


def rank_sum_p(members: np.ndarray, others: np.ndarray) -> float:
    """How surprising it is, one-sided, that members rank so high: Mann and Whitney's test with ties, [m], [n] -> p."""
    from scipy.special import ndtr

    together = np.concatenate([members, others])
    m, n, whole = len(members), len(others), len(together)
    _, tied = np.unique(together, return_counts=True)
    spread = m * n / 12 * (whole + 1 - (tied**3 - tied).sum() / (whole * (whole - 1)))
    if spread <= 0:  # all are equal
        return 1.0
    return float(ndtr(-(auc(members, others) * m * n - m * n / 2 - 0.5) / spread**0.5))


def threshold_at(others: np.ndarray, rate: float) -> float:
    """The lowest score that at most this share of `others` is above: [n] -> a threshold to be exceeded.

    >>> threshold_at(np.arange(100.0), 0.01)
    98.0
    """
    return float(np.sort(others)[::-1][int(rate * len(others))])


def holm(chances: Sequence[float]) -> list[float]:
    """p values corrected for being several (Holm 1979), in the order given.

    >>> holm([0.01, 0.04, 0.5])
    [0.03, 0.08, 0.5]
    """
    corrected, worst = [0.0] * len(chances), 0.0
    for rank, at in enumerate(sorted(range(len(chances)), key=lambda at: chances[at])):
        worst = max(worst, min((len(chances) - rank) * chances[at], 1.0))
        corrected[at] = worst
    return corrected


def _end(within: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where a condition ends that holds at `inside`, on the way to `outside`; that one where it never does."""
    if inside == outside:
        return outside
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if within(middle) else (inside, middle)
    return inside


def _variance(area: float, members: int, others: int) -> float:
    """Hanley and McNeil's, of scores that are exponential."""
    if not members or not others:
        raise DataError("An area under the curve needs members and others.", "Give one or more of each.")
    more = (members + others) / 2 - 1
    return area * (1 - area) * (1 + more * ((1 - area) / (2 - area) + area / (1 + area))) / (members * others)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of theirs: [n] -> [n]."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return (ends - (counts - 1) / 2)[place]


def _log_choose(whole: int, part: np.ndarray) -> np.ndarray:
    from scipy.special import gammaln

    return gammaln(whole + 1) - gammaln(part + 1) - gammaln(whole - part + 1)
