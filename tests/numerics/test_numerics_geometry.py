"""Greedy choices among points keep their guarantees."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dilm.errors import DataError
from dilm.numerics.geometry import farthest_first, herding

any_points = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(-5, 5))


def radius(points: np.ndarray, rows: np.ndarray | tuple[int, ...]) -> float:
    """How far the worst point is from its nearest chosen one."""
    return float(np.linalg.norm(points[:, None] - points[list(rows)], axis=2).min(axis=1).max())


def gap(points: np.ndarray, rows: np.ndarray) -> float:
    return float(np.linalg.norm(points[rows].mean(axis=0) - points.mean(axis=0)))


@given(any_points, st.data())
@settings(max_examples=50, deadline=None)
def test_rows_are_distinct_even_where_points_coincide(points, data):
    k = data.draw(st.integers(1, len(points)))
    start = data.draw(st.integers(0, len(points) - 1))
    for rows in (farthest_first(points, k, start), herding(points, k)):
        assert len(set(rows.tolist())) == k
        assert 0 <= rows.min() <= rows.max() < len(points)


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_farthest_first_is_within_twice_the_best_radius(seed, k):
    points = np.random.default_rng(seed).normal(size=(9, 2))
    best = min(radius(points, rows) for rows in combinations(range(9), k))
    for start in range(9):
        assert radius(points, farthest_first(points, k, start)) <= 2 * best + 1e-9


@given(st.integers(0, 10_000), st.integers(1, 15))
@settings(max_examples=25, deadline=None)
def test_permuted_rows_give_the_same_points(seed, k):
    rng = np.random.default_rng(seed)
    points, order = rng.normal(size=(30, 5)), rng.permutation(30)
    assert herding(points, k).tolist() == order[herding(points[order], k)].tolist()
    start = int(np.flatnonzero(order == 7)[0])
    assert farthest_first(points, k, 7).tolist() == order[farthest_first(points[order], k, start)].tolist()


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_each_herded_row_is_the_one_that_brings_the_mean_closest(seed, k):
    points = np.random.default_rng(seed).normal(size=(12, 3))
    rows = herding(points, k)
    free = np.setdiff1d(np.arange(12), rows[:-1])
    best = min(free, key=lambda row: gap(points, np.append(rows[:-1], row)))
    assert best == rows[-1]


def test_herding_matches_the_mean_far_better_than_chance():
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(300, 8)).astype(np.float32) for _ in range(20)]
    herded = np.array([gap(points, herding(points, 10)) for points in clouds])
    drawn = np.array([gap(points, rng.choice(300, 10, replace=False)) for points in clouds])
    assert (herded < drawn).all()
    assert herded.mean() < drawn.mean() / 3


def test_distance_from_the_origin_does_not_matter():
    points = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    far = points + np.float32(1000)
    assert radius(points, herding(far, 5)) == pytest.approx(radius(points, herding(points, 5)), rel=0.05)
    assert farthest_first(far, 5, 0).tolist() == farthest_first(points, 5, 0).tolist()


@pytest.mark.parametrize("k", [0, 4])
def test_more_rows_than_points_or_none_are_refused(k):
    for choose in (lambda points: farthest_first(points, k, 0), lambda points: herding(points, k)):
        with pytest.raises(DataError, match=f"{k} distinct rows cannot be chosen among 3"):
            choose(np.eye(3))
