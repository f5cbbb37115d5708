"""K-means as coresets and mini-batches use it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dilm.errors import DataError
from dilm.numerics import clustering
from dilm.numerics.clustering import kmeans_labels, kmeans_nearest

any_points = arrays(np.float32, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(-5, 5))


def clumps(count: int, each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tight groups far from one another, and which row belongs to which."""
    rng = np.random.default_rng(seed)
    belongs = rng.permutation(np.repeat(np.arange(count), each))
    centres = 100 * rng.permutation(np.eye(count))
    return (centres[belongs] + rng.normal(size=(count * each, count))).astype(np.float32), belongs


@given(any_points, st.data())
@settings(max_examples=25, deadline=None)
def test_rows_are_distinct_even_where_points_coincide(points, data):
    k = data.draw(st.integers(1, len(points)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = kmeans_nearest(points, k, seed=0)
    assert len(set(rows.tolist())) == k
    assert 0 <= rows.min() <= rows.max() < len(points)


@given(any_points, st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_every_row_gets_a_cluster_below_k_and_below_n(points, k):
    labels = kmeans_labels(points, k, seed=0)
    assert labels.shape == (len(points),)
    assert 0 <= labels.min() <= labels.max() < min(k, len(points))


@pytest.fixture(params=["all rows", "mini-batches"])
def _either_road(request, monkeypatch):
    if request.param == "mini-batches":
        monkeypatch.setattr(clustering, "LARGE", 0)


@pytest.mark.usefixtures("_either_road")
def test_clumps_are_found_and_each_gives_one_row():
    points, belongs = clumps(count=6, each=40)
    labels = kmeans_labels(points, 6, seed=0)
    assert len(set(zip(labels.tolist(), belongs.tolist(), strict=True))) == 6
    assert sorted(belongs[kmeans_nearest(points, 6, seed=0)].tolist()) == list(range(6))


@pytest.mark.usefixtures("_either_road")
def test_the_seed_alone_decides():
    points = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    first, again, other = (kmeans_nearest(points, 10, seed).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_one_cluster_gives_the_row_nearest_the_mean_also_far_from_the_origin():
    points = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    nearest = np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()
    assert kmeans_nearest(points, 1, seed=0).tolist() == [nearest]
    assert kmeans_nearest(points + np.float32(500), 1, seed=0).tolist() == [nearest]


def test_mini_batches_cluster_nearly_as_well(monkeypatch):
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(15, 12))[rng.integers(15, size=6000)] + rng.normal(size=(6000, 12))).astype(np.float32)

    def inertia() -> float:
        labels = kmeans_labels(points, 15, seed=0)
        return sum(float(((p - p.mean(axis=0)) ** 2).sum()) for p in (points[labels == label] for label in range(15)))

    exact = inertia()
    monkeypatch.setattr(clustering, "LARGE", 0)
    assert inertia() < 1.05 * exact


def test_more_rows_than_points_are_refused():
    with pytest.raises(DataError, match="4 distinct rows cannot be chosen among 3 points"):
        kmeans_nearest(np.eye(3, dtype=np.float32), 4, seed=0)


def test_many_centres_are_served_in_turn_as_one_by_one(monkeypatch):
    points = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    together = kmeans_nearest(points, 40, seed=0)
    monkeypatch.setattr(clustering, "TOGETHER", 1)
    assert kmeans_nearest(points, 40, seed=0).tolist() == together.tolist()
