"""How each row stands among the others: how wrong its label is judged, how far it lies from the centre."""

from __future__ import annotations

import numpy as np

from dilm.numerics.geometry import require_rows


def error_norms(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Length of (probabilities - onehot): [n, classes], [n] -> [n] between 0 and the root of 2.

    >>> error_norms(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1])).round(3).tolist()
    [0.0, 1.414]
    """
    errors = np.array(probabilities, dtype=np.float64)
    errors[np.arange(len(labels)), labels] -= 1
    return np.linalg.norm(errors, axis=1)


def nearest_median(points: np.ndarray, k: int) -> np.ndarray:
    """Rows at a middling distance from the mean: [n, d] -> k distinct row numbers, the most middling first.

    The distances are ranked by how near they are to their median. Of an even number of rows the median is the lower
    of the two in the middle, because those two would be equally near to anything between them.

    >>> nearest_median(np.array([[0.0], [1.0], [2.0], [4.0], [13.0]]), k=1).tolist()  # distances 4, 3, 2, 0, 9
    [1]
    """
    require_rows(points, k)
    distances = np.linalg.norm(points - points.mean(axis=0, dtype=np.float64), axis=1)
    median = np.quantile(distances, 0.5, method="lower")
    return np.argsort(np.abs(distances - median), kind="stable")[:k]
