"""Lazy greedy choice (Minoux 1978), and facility location: the rows that stand in for many others."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

import numpy as np

from dilm.numerics.geometry import require_rows

BLOCK = 256
"""Rows whose gains are computed at once: one matrix product instead of many, and memory of BLOCK rows of witnesses."""

Gains = Callable[[np.ndarray], np.ndarray]
"""Row numbers [b] -> what each of them would add to the value of the rows taken so far: [b]."""


def facility_location(points: np.ndarray, witnesses: np.ndarray, k: int) -> np.ndarray:
    """Greedily, rows that every witness has one near it: [n, d], [m, d] -> k distinct row numbers, in order of choice.

    The value of a set is the sum over the witnesses of their similarity to the nearest row of it, where similarity is
    (largest squared distance - squared distance): on the unit sphere, the cosine but for scale and origin. Greedy
    reaches at least 1 - 1/e of the best value (Nemhauser, Wolsey and Fisher 1978). Memory: [n, d] and [BLOCK, m].

    Of two rows that are their own witnesses and stand for each other only, each adds as much as the other: a tie, and
    it is the order of the rows, or rounding, that decides it.

    >>> facility_location(np.array([[0.0], [1.0], [2.0], [8.0], [9.0]]), np.array([[0.0], [2.0], [9.0]]), k=2).tolist()
    [2, 4]
    """
    require_rows(points, k)
    origin = witnesses.mean(axis=0)  # far from it, the squares below would drown small distances in float32
    points, witnesses = points - origin, witnesses - origin
    # The largest distance falls out of every comparison, and the first choice is simply the row nearest the mean.
    first = int(np.einsum("nd,nd->n", points, points).argmin())
    gaps = _squares(points[[first]], witnesses)[0]  # of each witness to the nearest row taken: [m]

    def gains(rows: np.ndarray) -> np.ndarray:
        return np.maximum(gaps - _squares(points[rows], witnesses), 0).sum(axis=1)

    def take(row: int) -> None:
        np.minimum(gaps, _squares(points[[row]], witnesses)[0], out=gaps)

    others = np.delete(np.arange(len(points)), first)
    return np.array([first, *lazy_greedy(gains, take, others, k - 1, BLOCK)])


def lazy_greedy(gains: Gains, take: Callable[[int], None], candidates: np.ndarray, k: int, block: int) -> list[int]:
    """Always the candidate of the largest gain, the lowest number among equals: k of them; `take` is told of each.

    A gain may only fall as rows are taken (the value is submodular), so an old gain is a bound: once the best of a
    freshly computed block beats every bound that is left, the others need not be computed.
    """
    heap = [(-np.inf, int(row)) for row in candidates]
    heapify(heap)
    taken: list[int] = []
    for _ in range(k):
        taken.append(_best(heap, gains, block))
        take(taken[-1])
    return taken


def _best(heap: list[tuple[float, int]], gains: Gains, block: int) -> int:
    """Pop the row of the largest gain off a heap of (minus bound, row), which is left with tighter bounds."""
    fresh: set[int] = set()
    while heap[0][1] not in fresh:
        rows = [heappop(heap)[1] for _ in range(min(block, len(heap)))]
        for gain, row in zip(gains(np.array(rows)).tolist(), rows, strict=True):
            heappush(heap, (-gain, row))
        fresh.update(rows)
    return heappop(heap)[1]


def _squares(points: np.ndarray, witnesses: np.ndarray) -> np.ndarray:
    """Squared distances, never below zero: [b, d], [m, d] -> [b, m]."""
    lengths = np.einsum("nd,nd->n", points, points)[:, None] + np.einsum("nd,nd->n", witnesses, witnesses)
    return np.maximum(lengths - 2 * (points @ witnesses.T), 0)
