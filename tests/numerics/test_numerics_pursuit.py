"""Matching pursuit: it finds what can be found, its residual shrinks, and it always has enough rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dilm.errors import DataError
from dilm.numerics import pursuit
from dilm.numerics.pursuit import matching_pursuit, unmatched

any_points = arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=st.integers(-3, 3))
seeds = st.integers(0, 10_000)


def gap(points: np.ndarray, rows: np.ndarray, target: np.ndarray) -> float:
    return float(np.linalg.norm(unmatched(points[rows], target)))


@given(any_points, st.data())
@settings(max_examples=60, deadline=None)
def test_rows_are_distinct_even_where_points_coincide_or_are_zero(points, data):
    k = data.draw(st.integers(1, len(points)))
    rows = matching_pursuit(points, points.mean(axis=0), k)
    assert len(set(rows.tolist())) == k
    assert 0 <= rows.min() <= rows.max() < len(points)


@given(seeds, st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_a_combination_of_orthogonal_rows_is_recovered_exactly(seed, k):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    points = (basis * rng.uniform(0.1, 10, size=(12, 1))).astype(np.float32)
    used = rng.choice(12, k, replace=False)
    target = rng.uniform(0.5, 2, size=k) @ (points[used] / np.linalg.norm(points[used], axis=1, keepdims=True))
    rows = matching_pursuit(points, target, k)
    assert set(rows.tolist()) == set(used.tolist())
    assert gap(points, rows, target) < 1e-5 * np.linalg.norm(target)


@given(any_points, st.data())
@settings(max_examples=60, deadline=None)
def test_the_residual_never_grows(points, data):
    target = data.draw(arrays(np.float64, points.shape[1], elements=st.integers(-3, 3)))
    rows = matching_pursuit(points, target, len(points))
    gaps = [gap(points, rows[:k], target) for k in range(1, len(points) + 1)]
    assert gaps[0] <= np.linalg.norm(target) + 1e-9
    assert (np.diff(gaps) <= 1e-9).all()


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_the_first_row_alone_leaves_the_least(seed):
    points = np.random.default_rng(seed).normal(size=(15, 4))
    target = points.mean(axis=0)
    best = min(range(15), key=lambda row: gap(points, np.array([row]), target))
    assert matching_pursuit(points, target, 1).tolist() == [best]


def test_it_is_far_better_than_chance():
    rng = np.random.default_rng(0)
    clouds = [(rng.normal(size=(300, 30)) + 0.3).astype(np.float32) for _ in range(10)]
    targets = [cloud.mean(axis=0) for cloud in clouds]
    pursued = [gap(cloud, matching_pursuit(cloud, goal, 8), goal) for cloud, goal in zip(clouds, targets, strict=True)]
    drawn = [gap(cloud, rng.choice(300, 8, replace=False), goal) for cloud, goal in zip(clouds, targets, strict=True)]
    assert (np.array(pursued) < np.array(drawn)).all()
    assert np.mean(pursued) < 0.7 * np.mean(drawn)


@given(seeds, st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_permuted_rows_give_the_same_points(seed, k):
    rng = np.random.default_rng(seed)
    points, order = rng.normal(size=(30, 10)), rng.permutation(30)
    target = points.sum(axis=0)
    assert matching_pursuit(points, target, k).tolist() == order[matching_pursuit(points[order], target, k)].tolist()


@given(seeds, st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_neither_the_length_of_a_row_nor_that_of_the_target_matters(seed, scale):
    rng = np.random.default_rng(seed)
    points, lengths = rng.normal(size=(30, 10)), rng.uniform(0.1, 10, size=(30, 1))
    target = rng.normal(size=10)
    first = matching_pursuit(points, target, 5).tolist()
    assert matching_pursuit(lengths * points, scale * target, 5).tolist() == first


def test_no_weight_is_negative():
    points, target = np.array([[1.0, 0.0], [0.0, -1.0]]), np.array([2.0, 3.0])
    np.testing.assert_allclose(unmatched(points, target), [0, 3])


def test_when_nothing_helps_any_more_a_new_round_begins_with_the_rows_left():
    points = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.1], [0.9, 1.0], [3.0, 0.0]])
    assert matching_pursuit(points, np.array([2.0, 0.0]), 5).tolist() == [0, 4, 2, 3, 1]


def test_the_best_weights_are_found_among_rows_that_nearly_coincide():
    rng = np.random.default_rng(0)
    points = (rng.normal(size=20) + 1e-3 * rng.normal(size=(400, 20))).astype(np.float32)
    target = points.mean(axis=0)
    rows = matching_pursuit(points, target, 20)
    assert len(set(rows.tolist())) == 20
    assert gap(points, rows, target) < 2 * pursuit.ENOUGH * np.linalg.norm(target)


@pytest.mark.parametrize("k", [0, 4])
def test_more_rows_than_points_or_none_are_refused(k):
    with pytest.raises(DataError, match=f"{k} distinct rows cannot be chosen among 3"):
        matching_pursuit(np.eye(3), np.ones(3), k)
