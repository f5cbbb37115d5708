"""The linear probe gives what scikit-learn's logistic regression gives, for two classes and for more."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dilm.numerics.probe import fit_probe


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_log_probabilities_are_those_of_the_regression(classes: int):
    rng = np.random.default_rng(classes)
    labels = np.arange(120) % classes
    points = rng.normal(size=(120, 5)) + np.eye(classes, 5)[labels]
    plain = LogisticRegression(max_iter=200).fit(points, labels).predict_log_proba(points)
    found = fit_probe(points, labels).log_probabilities(points)
    assert np.allclose(found, plain, atol=1e-6)
    assert np.allclose(np.exp(found).sum(axis=1), 1)


def test_float32_points_and_faraway_points_are_no_trouble():
    points = np.array([[-1, 0], [1, 0]] * 9, dtype=np.float32)
    probe = fit_probe(points, np.array([0, 1] * 9))
    found = probe.log_probabilities(np.array([[-1e4, 0], [1e4, 0]], dtype=np.float32))
    assert np.isfinite(found).all() and found.argmax(axis=1).tolist() == [0, 1]
