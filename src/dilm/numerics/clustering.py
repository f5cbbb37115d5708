"""K-means, for coresets and for mini-batches that cover a class. The same seed gives the same clusters."""

from __future__ import annotations

import warnings

import numpy as np

from dilm.numerics.geometry import require_rows
from dilm.numerics.threads import one_thread

LARGE = 20_000
"""Rows above which k-means learns from mini-batches: seconds instead of minutes, for centres nearly as good."""
BATCH = 4096
TOGETHER = 16
"""Centres whose nearest rows are looked for in one reading of the points."""


def kmeans_nearest(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """K-means, then the row nearest each centre that is not yet taken: [n, d] -> k distinct row numbers.

    >>> sorted(kmeans_nearest(np.array([[0.0], [1.0], [2.0], [8.0], [9.0], [10.0]]), k=2, seed=0).tolist())
    [1, 4]
    """
    require_rows(points, k)
    return np.arange(k) if k == len(points) else _distinct_nearest(points, kmeans_centres(points, k, seed))


def kmeans_centres(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Of k clusters: [n, d] -> [k, d]."""
    require_rows(points, k)
    return _kmeans(points, k, seed)[1]


def kmeans_labels(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The cluster of each point: [n, d] -> [n] numbers below k, or below n where n points cannot fill k clusters.

    A cluster may be empty when points coincide.
    """
    require_rows(points, 1)
    labels, _ = _kmeans(points, min(k, len(points)), seed)
    return labels


def _distinct_nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """For each centre in turn, the nearest row that no earlier centre has taken: [n, d], [k, d] -> [k]."""
    origin = points.mean(axis=0)  # far from it, the squares below would drown small distances in float32
    points, centres = points - origin, centres - origin
    squares = np.einsum("nd,nd->n", points, points)
    rows = np.empty(len(centres), dtype=np.int64)
    for first in range(0, len(centres), TOGETHER):
        products = centres[first : first + TOGETHER] @ points.T
        for turn, product in enumerate(products, start=first):
            gaps = squares - 2 * product  # squared distance, less a constant
            gaps[rows[:turn]] = np.inf
            rows[turn] = gaps.argmin()
    return rows


def _kmeans(points: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels [n] and centres [k, d]."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    large = len(points) > LARGE
    model = MiniBatchKMeans(k, batch_size=BATCH, random_state=seed) if large else KMeans(k, random_state=seed)
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters: no harm here
        model.fit(np.ascontiguousarray(points, dtype=np.float32))
    return np.asarray(model.labels_, dtype=np.int64), np.asarray(model.cluster_centers_)
