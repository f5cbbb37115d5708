"""A linear probe: what a straight cut through the points says of the classes. The same points give the same cut."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from dilm.numerics.threads import one_thread

BLOCK = 16_384
"""Points that are asked at once."""


@dataclass(frozen=True)
class Probe:
    """A fitted logistic regression: weights [d, classes] and biases [classes]."""

    weights: np.ndarray
    biases: np.ndarray

    def log_probabilities(self, points: np.ndarray) -> np.ndarray:
        """Of every class: [m, d] -> float64 [m, classes]."""
        rows = points.shape[0]  # of a sparse matrix too
        # In float64, block by block: of very many points a copy of that kind would not fit into memory.
        logits = [points[first : first + BLOCK] @ self.weights for first in range(0, max(rows, 1), BLOCK)]
        found = np.concatenate(logits) + self.biases
        return found - np.logaddexp.reduce(found, axis=1, keepdims=True)


def fit_probe(points: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Probe:
    """Logistic regression, regularised by scikit-learn's default: [n, d], [n] classes from 0, each of which occurs.

    `weights` [n] say how much each point counts; without them all count alike.

    >>> probe = fit_probe(np.array([[-1.0], [1.0]]), np.array([0, 1]))
    >>> probe.log_probabilities(np.array([[-2.0], [9.0]])).argmax(axis=1).tolist()
    [0, 1]
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a cut that is nearly the best ranks nearly as well
        fitted = LogisticRegression(max_iter=200).fit(points, labels, weights)
    slopes, biases = fitted.coef_.T, fitted.intercept_
    if len(biases) == 1:  # of two classes scikit-learn keeps the second only
        slopes, biases = np.hstack([0 * slopes, slopes]), np.append(0.0, biases)
    return Probe(slopes, biases)
