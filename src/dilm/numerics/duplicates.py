"""Near-duplicates among points, without comparing each with each: only rows of one small cell meet.

Cells are those of random pivots, the rows drawn from the points themselves, so that cuts fall where the points are.
A pair that one partition parts is very likely together in another: a few partitions find nearly all pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dilm.errors import DataError
from dilm.numerics.threads import one_thread

CELL = 512
"""Most rows that are compared with each other: what bounds time and memory."""
PIVOTS = 64
"""Most parts that a cell is cut into at once."""
PARTITIONS = 8
"""More find more: each pair that one misses has another chance."""
BLOCK = 8192
"""Rows that are read at once."""
ROUNDING = 1e-6
"""Of float32: what a cosine may be off."""


def stand_ins(points: np.ndarray, cosine: float, seed: int) -> np.ndarray:
    """For each row the earlier one that it nearly repeats, or itself: [n, d] -> [n] row numbers.

    Every stand-in stands for itself, and its cosine with those that it stands for is `cosine` or more: no row is given
    away that has nothing like it among the rows that are left. Not all near-duplicates are found, but nearly all; the
    more alike, the surer. Time grows as the rows do times their logarithm, memory as one cell. A point that is 0 is
    like no other. Raises DataError unless `cosine` is above 0 and at most 1.

    >>> stand_ins(np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.1]]), cosine=0.9, seed=0).tolist()
    [0, 1, 0]
    """
    if not 0 < cosine <= 1:
        raise DataError(f"No rows are near by a cosine of {cosine}.", "Ask for one above 0 and at most 1.")
    rng = np.random.default_rng(seed)
    everyone = np.arange(len(points))
    found = everyone.copy()
    with one_thread():  # products this small are slower on several, beside others far slower
        for _ in range(PARTITIONS):
            for rows in _cells(points, everyone[found == everyone], rng):
                own = _first_like(_units(points[rows]), cosine - ROUNDING)
                found[rows] = rows[own]
    return _settled(points, found, cosine - ROUNDING)


def _cells(points: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The rows in cells of at most CELL, each ascending; rows that no pivot can part are cut in order."""
    waiting = [rows]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= CELL:
            yield rows
            continue
        nearest = _nearest_pivots(points, rows, rng)
        parts = [rows[nearest == pivot] for pivot in np.unique(nearest)]
        waiting += parts if len(parts) > 1 else np.array_split(rows, len(rows) // CELL + 1)


def _nearest_pivots(points: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which of a few random rows each is nearest to by its direction: [m] rows -> [m]."""
    count = min(PIVOTS, 2 * len(rows) // CELL)
    pivots = _units(points[rng.choice(rows, count, replace=False)]).T
    blocks = (rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK))
    return np.concatenate([(points[block] @ pivots).argmax(axis=1) for block in blocks])


def _first_like(units: np.ndarray, cosine: float) -> np.ndarray:
    """For each row the first like it that stands for itself, or itself: [m, d] -> [m]."""
    near = np.triu(units @ units.T >= cosine, 1)
    found = np.arange(len(units))
    alone = np.ones(len(units), dtype=bool)
    for row in np.flatnonzero(near.any(axis=0)):
        like = near[:, row] & alone
        first = int(like.argmax())
        if like[first]:
            found[row], alone[row] = first, False
    return found


def _settled(points: np.ndarray, found: np.ndarray, cosine: float) -> np.ndarray:
    """What a stand-in was later given away for stands in its place, where it is like enough; else the row is kept."""
    last = found
    while not np.array_equal(last, last[last]):
        last = last[last]
    moved = np.flatnonzero(last != found)
    for first in range(0, len(moved), BLOCK):
        rows = moved[first : first + BLOCK]
        cosines = np.einsum("nd,nd->n", _units(points[rows]), _units(points[last[rows]]))
        last[rows[cosines < cosine]] = rows[cosines < cosine]
    return last


def _units(points: np.ndarray) -> np.ndarray:
    """Each row scaled to length 1; a row of zeros stays."""
    lengths = np.sqrt(np.einsum("nd,nd->n", points, points))[:, None]
    return points / np.where(lengths > 0, lengths, 1)
