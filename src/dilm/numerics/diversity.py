"""How varied a set of texts is, from its words or from its points, and how far two clouds of points are apart.

None of these compares sets of unlike size: with more words, fewer n-grams are new; with more points, more of them can
differ. Compare sets with as many texts, and points of one and the same encoder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from dilm.errors import DataError
from dilm.numerics.words import ngrams

ROWS_PER_DIMENSION = 10
"""Points that `frechet` wants for each dimension; see there."""


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """Distinct-n (Li et al. 2016): different n-grams of all texts, as a share of their n-grams; in (0, 1].

    >>> distinct([("a", "b"), ("a", "c")], n=1), distinct([("a", "b"), ("a", "c")], n=2)
    (0.75, 1.0)
    """
    found = [gram for text in texts for gram in ngrams(text, n)]
    if not found:
        raise DataError(f"No text has a run of {n} words.", "Measure texts that are longer.")
    return len(set(found)) / len(found)


def repetition_rate(texts: Sequence[Sequence[str]], n: int = 3, times: int = 3) -> float:
    """Share of texts in which some run of `n` words stands `times` times or more: a generator that is stuck.

    >>> repetition_rate([("so",) * 5, ("not", "so", "good", "at", "all")])
    0.5
    """
    if not texts:
        raise DataError("There are no texts.", "Give one or more.")
    return sum(max(Counter(ngrams(text, n)).values(), default=0) >= times for text in texts) / len(texts)


def vendi(points: np.ndarray) -> float:
    """Vendi score with the cosine kernel (Friedman & Dieng 2023): [n, d] -> number of different points, 1 to n.

    The exponential of the entropy of the eigenvalues of K / n, where K holds the cosines. It is 1 where all points have
    one direction, n where all are orthogonal. (An encoder whose cosines are all near 1 says little above 1.)

    >>> round(vendi(np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, 1.0]])), 6)
    2.0
    """
    if len(points) == 0:
        raise DataError("There are no points.", "Give one or more.")
    exact = np.asarray(points, dtype=np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise DataError("A point is 0 or not finite: it has no direction.", "Use an encoder that gives one.")
    # Squared singular values of the unit vectors are the eigenvalues of K, whichever of n and d is smaller.
    values = np.linalg.svd(exact / lengths, compute_uv=False) ** 2 / len(exact)
    values = values[values > 0]
    return float(np.exp(-np.sum(values * np.log(values))))


def frechet(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Squared Frechet distance of the normal distributions fitted to two clouds (Heusel et al. 2017): [n, d], [m, d].

    Raises DataError where a cloud has fewer than 10 d + 1 points. With d or fewer its covariance is singular, and the
    distance says how few points there are. With d + 1, two samples of one and the same normal distribution are still
    half of its variance apart, or more; with ten times as many, a twentieth to a tenth of it (8 to 128 dimensions).
    """
    if ours.ndim != 2 or ours.shape[1:] != theirs.shape[1:]:
        raise DataError(
            f"Points of shapes {ours.shape} and {theirs.shape} have no distance.", "Encode both sides with one encoder."
        )
    for side in (ours, theirs):
        require_cloud(len(side), ours.shape[1])
    means, roots = zip(*(_moments(np.asarray(side, dtype=np.float64)) for side in (ours, theirs)), strict=True)
    # With S = R'R, the trace of the root of S1 S2 is the sum of the singular values of R1 R2': real, never negative.
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    spread = np.sum(roots[0] ** 2) + np.sum(roots[1] ** 2) - 2 * shared
    return max(float(np.sum((means[0] - means[1]) ** 2) + spread), 0.0)


def points_needed(dimensions: int) -> int:
    """Fewest points of a cloud that `frechet` bears."""
    return ROWS_PER_DIMENSION * dimensions + 1


def require_cloud(points: int, dimensions: int) -> None:
    """Raise unless there are enough points to tell a normal distribution in so many dimensions."""
    if points < points_needed(dimensions):
        raise DataError(
            f"The Frechet distance in {dimensions} dimensions needs {points_needed(dimensions)} points a side, and "
            f"there are {points}.",
            "Give more texts, or an encoder with fewer dimensions.",
        )


def _moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean [d], and an R [d, d] such that R'R is the covariance."""
    mean = points.mean(axis=0)
    return mean, np.linalg.qr(points - mean, mode="r") / np.sqrt(len(points) - 1)
