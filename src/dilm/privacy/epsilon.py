"""Lower bounds on ε: what an attack's success says that the algorithm cannot be, with confidence.

A guarantee is an upper bound and needs a proof; an attack that works refutes it. If an attack does better than any
(ε, δ)-differentially private algorithm could let it, up to an error of `1 - level`, then ε is at least so much.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log

import numpy as np

from dilm.errors import DataError
from dilm.numerics.chances import LEVEL, at_least, clopper_pearson

FINE = 40
"""Halvings of an interval of ε."""
MOST = 60.0
"""An ε beyond which nothing is told apart."""
SHARES = (0.125, 0.25, 0.5, 1.0)
"""Parts of all canaries that are guessed at; the rest is passed over. Each costs a share of the error."""


def from_rates(found: int, members: int, wrong: int, others: int, delta: float, level: float = LEVEL) -> float:
    """ε of an attack that found so many of `members`, and took so many of `others` for members.

    Of (ε, δ)-DP follows TPR <= e^ε FPR + δ, and the same of the rates of those passed over. Both rates get exact
    one-sided ends which hold together at `level`, if every row was attacked in a training of its own, or rows do not
    influence each other; and if the threshold was not chosen on these counts.

    >>> round(from_rates(950, 1000, 50, 1000, delta=0.0), 2), from_rates(5, 10, 5, 10, delta=0.0)
    (2.66, 0.0)
    """
    least = clopper_pearson(found, members, level)[0]
    most = clopper_pearson(wrong, others, level)[1]
    bounds = (_ratio(least - delta, most), _ratio(1 - most - delta, 1 - least))
    return max(0.0, *bounds)


def in_one_run(right: int, guesses: int, canaries: int, delta: float, level: float = LEVEL) -> float:
    """ε of an auditor who guessed `right` of `guesses`, in one training (Steinke, Nasr and Jagielski 2023).

    Each of the canaries was in or out by the toss of a fair coin of its own; the auditor saw the outcome alone, and
    said "in" or "out" of `guesses` of them. Canaries may influence each other in whatever way.
    """
    if not 0 <= right <= guesses <= canaries:
        raise DataError(f"{right} right of {guesses} guesses about {canaries} canaries.", "Give counts that ascend.")
    return _largest(lambda epsilon: surprise(right, guesses, canaries, epsilon, delta) < 1 - level)


def surprise(right: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """The chance, at most, of as many right guesses or more if the algorithm is (ε, δ)-DP.

    >>> surprise(10, 10, 10, epsilon=0.0, delta=0.0)  # ten coins
    0.0009765625
    """
    from scipy.special import betaln

    share = 1 / (1 + exp(-epsilon))
    tail = at_least(right, guesses, share)
    if not delta or not right:
        return tail
    below = np.arange(right - 1, -1, -1)  # right - i for i = 1, ..., right
    ways = -betaln(guesses - below + 1, below + 1) - log(guesses + 1)
    mass = np.exp(ways + below * log(share) - (guesses - below) * np.logaddexp(0, epsilon)).cumsum()
    steepest = float((mass / np.arange(1, right + 1)).max())
    return min(1.0, tail + 2 * canaries * delta * steepest)


def from_scores(scores: np.ndarray, inside: np.ndarray, delta: float, level: float = LEVEL) -> float:
    """ε in one run from scores that are higher for what looks trained on: scores [m], truth [m] -> the best bound.

    The highest are guessed to be in and the lowest out, as many of each, for each of `SHARES`; the error is divided by
    their number, so that the best of the bounds holds at `level`.
    """
    return max(
        in_one_run(int(guessed_right(scores, inside, guesses)), guesses, len(scores), delta, _each(level))
        for guesses in _guesses(len(scores))
    )


def from_scores_p(scores: np.ndarray, inside: np.ndarray) -> float:
    """How surprising the best of these guesses would be if nothing was learnt of the canaries (ε and δ 0): -> p."""
    chances = [
        surprise(guessed_right(scores, inside, guesses), guesses, len(scores), 0.0, 0.0)
        for guesses in _guesses(len(scores))
    ]
    return min(1.0, len(SHARES) * min(chances))


def guessed_right(scores: np.ndarray, inside: np.ndarray, guesses: int) -> int:
    """Right guesses where the highest scores are called in and the lowest out: [m], [m] -> a count.

    >>> guessed_right(np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, False, False, True]), guesses=4)
    2
    """
    order = np.argsort(-scores, kind="stable")
    high, low = order[: (guesses + 1) // 2], order[len(order) - guesses // 2 :]
    return int(inside[high].sum() + (~inside[low]).sum())


def _guesses(canaries: int) -> list[int]:
    return [max(2, round(share * canaries)) if canaries > 1 else canaries for share in SHARES]


def _each(level: float) -> float:
    return 1 - (1 - level) / len(SHARES)


def _ratio(above: float, below: float) -> float:
    if above <= 0:
        return -inf
    return log(above / below) if below > 0 else inf


def _largest(refuted: Callable[[float], bool]) -> float:
    """The largest ε that is refuted; 0 where none is."""
    low, high = 0.0, MOST
    if not refuted(low):
        return 0.0
    for _ in range(FINE):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low
