"""Greedy choices among points: farthest-first traversal and herding."""

from __future__ import annotations

import numpy as np

from dilm.errors import DataError

BLOCK = 1024
"""Rows whose differences are taken at once: few enough to stay in the processor's cache."""


def farthest_first(points: np.ndarray, k: int, start: int) -> np.ndarray:
    """Greedy k-center from row `start`: [n, d] -> k distinct row numbers, in the order of their choice.

    No point is farther from its nearest chosen one than twice the optimum for k (Gonzalez 1985).

    >>> farthest_first(np.array([[0.0], [1.0], [5.0], [9.0]]), k=3, start=0).tolist()
    [0, 3, 2]
    """
    require_rows(points, k)
    rows = np.empty(k, dtype=np.int64)
    gaps = np.full(len(points), np.inf)
    row = start
    for turn in range(k):
        rows[turn] = row
        np.minimum(gaps, _squares_from(points, row), out=gaps)
        gaps[row] = -np.inf  # never again, even when all points that are left coincide with chosen ones
        row = int(gaps.argmax())
    return rows


def herding(points: np.ndarray, k: int, target: np.ndarray | None = None) -> np.ndarray:
    """Greedy mean matching: [n, d] -> k distinct row numbers whose running mean follows a `target` [d], or the mean of
    all points.

    Turn t takes the free row nearest to the residual, t times the target less the sum of the rows taken so far: the row
    that brings the mean of t rows closest to it. (DeepCore takes the farthest, which undoes the method.)

    >>> herding(np.array([[0.0], [1.0], [2.0], [7.0]]), k=2).tolist()  # the mean is 2.5
    [2, 1]
    >>> herding(np.array([[0.0], [1.0], [2.0], [7.0]]), k=2, target=np.array([4.0])).tolist()
    [2, 3]
    """
    require_rows(points, k)
    wanted = points.mean(axis=0, dtype=np.float64) if target is None else target
    centred = points - wanted.astype(points.dtype)  # now that is 0
    squares = np.einsum("nd,nd->n", centred, centred)
    residual = np.zeros_like(centred[0])
    rows = np.empty(k, dtype=np.int64)
    for turn in range(k):
        gaps = squares - 2 * (centred @ residual)  # squared distance to the residual, less a constant
        gaps[rows[:turn]] = np.inf
        rows[turn] = gaps.argmin()
        residual -= centred[rows[turn]]
    return rows


def _squares_from(points: np.ndarray, row: int) -> np.ndarray:
    """Squared distance of every point to that of a row, by differences, which lose no digits: [n, d] -> [n]."""
    squares = np.empty(len(points), dtype=np.result_type(points, np.float32))
    for first in range(0, len(points), BLOCK):
        away = points[first : first + BLOCK] - points[row]
        np.einsum("nd,nd->n", away, away, out=squares[first : first + BLOCK])
    return squares


def require_rows(points: np.ndarray, k: int) -> None:
    """Raise unless k distinct rows, at least one, can be chosen among the points."""
    if not 1 <= k <= len(points):
        raise DataError(f"{k} distinct rows cannot be chosen among {len(points)} points.", "Ask for 1 to all of them.")
