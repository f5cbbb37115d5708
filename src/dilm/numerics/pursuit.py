"""Orthogonal matching pursuit with weights that are never negative: few rows that together point at a target."""

from __future__ import annotations

import numpy as np

from dilm.numerics.geometry import require_rows

ENOUGH = 1e-4
"""A row helps when it explains more than this share of the target's length; what is less is rounding, or nearly."""


def matching_pursuit(points: np.ndarray, target: np.ndarray, k: int) -> np.ndarray:
    """Greedily, the rows whose best non-negative sum is close to `target`: [n, d], [d] -> k distinct row numbers.

    Each turn takes the free row that alone would shorten the residual most, then weighs all rows of the round afresh.
    Where no free row helps any more, a new round begins: the target is matched again, by the rows that are left.
    Memory and time of a turn are those of one product `points @ residual`, [n], and of one small least-squares problem.

    >>> matching_pursuit(np.array([[0.0, 1.0], [-3.0, 0.0], [2.0, 0.0]]), np.array([5.0, 1.0]), k=2).tolist()
    [2, 0]
    """
    require_rows(points, k)
    lengths = np.sqrt(np.einsum("nd,nd->n", points, points))
    lengths[lengths == 0] = 1  # a row of zeros explains nothing, whatever it is divided by
    rows = np.empty(k, dtype=np.int64)
    begun, residual = 0, target
    for turn in range(k):
        shares = _explained(points, lengths, residual, rows[:turn])
        if shares.max() <= ENOUGH * np.linalg.norm(target):
            begun, shares = turn, _explained(points, lengths, target, rows[:turn])
        rows[turn] = shares.argmax()
        residual = unmatched(points[rows[begun : turn + 1]], target)
    return rows


def unmatched(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """What the best non-negative combination of all these rows leaves of the target: [t, d], [d] -> float64 [d].

    >>> unmatched(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([5.0, -1.0])).tolist()
    [0.0, -1.0]
    """
    from scipy.optimize import nnls

    columns = points.astype(np.float64).T
    lengths = np.linalg.norm(columns, axis=0)
    columns = columns / np.where(lengths == 0, 1, lengths)  # of equal length: better conditioned, the same residual
    weights, _ = nnls(columns, target.astype(np.float64))
    return target - columns @ weights


def _explained(points: np.ndarray, lengths: np.ndarray, residual: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Part of the residual's length that lies along each row; minus infinity for rows taken already: [n]."""
    shares = points @ residual.astype(points.dtype) / lengths
    shares[taken] = -np.inf
    return shares
