"""Facility location keeps greedy's guarantee, and the lazy road takes what the plain one would."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dilm.errors import DataError
from dilm.numerics import submodular
from dilm.numerics.submodular import facility_location, lazy_greedy

any_points = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(-5, 5))
seeds = st.integers(0, 10_000)


def similarities(points: np.ndarray, witnesses: np.ndarray) -> np.ndarray:
    """Largest squared distance less squared distance: [n, d], [m, d] -> [n, m]."""
    squares = ((points[:, None] - witnesses) ** 2).sum(axis=2)
    return squares.max() - squares


def value(alike: np.ndarray, rows: list[int] | np.ndarray | tuple[int, ...]) -> float:
    return float(alike[list(rows)].max(axis=0).sum()) if len(rows) else 0.0


def plain_greedy(alike: np.ndarray, k: int) -> list[int]:
    """The definition, with every value computed anew."""
    rows: list[int] = []
    for _ in range(k):
        free = [row for row in range(len(alike)) if row not in rows]
        rows.append(max(free, key=lambda row: value(alike, [*rows, row])))
    return rows


@given(any_points, st.data())
@settings(max_examples=50, deadline=None)
def test_rows_are_distinct_even_where_points_coincide(points, data):
    k = data.draw(st.integers(1, len(points)))
    rows = facility_location(points, points[: data.draw(st.integers(1, len(points)))], k)
    assert len(set(rows.tolist())) == k
    assert 0 <= rows.min() <= rows.max() < len(points)


@given(seeds, st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_the_value_is_at_least_1_minus_1_over_e_of_the_best(seed, k):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(9, 2))
    alike = similarities(points, points)
    best = max(value(alike, rows) for rows in combinations(range(9), k))
    assert value(alike, facility_location(points, points, k)) >= (1 - 1 / np.e) * best


@given(seeds, st.integers(1, 12), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_facility_location_takes_what_plain_greedy_takes(seed, k, block):
    rng = np.random.default_rng(seed)
    points, witnesses = rng.normal(size=(40, 3)), rng.normal(size=(15, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submodular, "BLOCK", block)
        rows = facility_location(points, witnesses, k)
    assert rows.tolist() == plain_greedy(similarities(points, witnesses), k)


@given(st.lists(st.frozensets(st.integers(0, 8), max_size=5), min_size=1, max_size=20), st.integers(1, 6), st.data())
@settings(max_examples=60, deadline=None)
def test_lazy_greedy_covers_as_plain_greedy_does_ties_included(sets, block, data):
    k = data.draw(st.integers(1, len(sets)))
    covered: set[int] = set()
    lazily = lazy_greedy(
        lambda rows: np.array([len(sets[row] - covered) for row in rows]),
        lambda row: covered.update(sets[row]),
        np.arange(len(sets)),
        k,
        block,
    )
    alike = np.array([[float(item in one) for item in range(9)] for one in sets])
    assert lazily == plain_greedy(alike, k)


def test_most_gains_are_never_computed_again():
    rng = np.random.default_rng(0)
    points = 20 * rng.normal(size=(12, 5))[rng.integers(12, size=2000)] + rng.normal(size=(2000, 5))
    gaps, asked = np.full(2000, 1e6), []

    def gains(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return np.maximum(gaps - ((points[rows, None] - points) ** 2).sum(axis=2), 0).sum(axis=1)

    def take(row: int) -> None:
        np.minimum(gaps, ((points[row] - points) ** 2).sum(axis=1), out=gaps)

    lazy_greedy(gains, take, np.arange(2000), 12, block=20)
    assert 2000 <= sum(asked) < 12 * 2000 / 2


def test_the_first_row_is_nearest_the_mean_and_each_clump_gives_one():
    rng = np.random.default_rng(1)
    belongs = np.repeat(np.arange(5), 30)
    points = (100 * np.eye(5)[belongs] + rng.normal(size=(150, 5))).astype(np.float32)
    rows = facility_location(points, points, 5)
    assert rows[0] == np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()
    assert sorted(belongs[rows].tolist()) == list(range(5))


@given(seeds, st.integers(1, 10))
@settings(max_examples=25, deadline=None)
def test_permuted_rows_give_the_same_points_also_far_from_the_origin(seed, k):
    rng = np.random.default_rng(seed)
    points, order = rng.normal(size=(30, 5)), rng.permutation(30)
    witnesses = rng.normal(size=(80, 5))  # rows that are their own witnesses tie where two stand for each other only
    rows = facility_location(points, witnesses, k).tolist()
    assert order[facility_location(points[order], witnesses[rng.permutation(80)], k)].tolist() == rows
    assert facility_location(points + 1000, witnesses + 1000, k).tolist() == rows


def test_on_the_unit_sphere_it_is_facility_location_of_the_cosines():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(60, 6))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert facility_location(points[:30], points[30:], 8).tolist() == plain_greedy(points[:30] @ points[30:].T + 1, 8)


@pytest.mark.parametrize("k", [0, 4])
def test_more_rows_than_points_or_none_are_refused(k):
    with pytest.raises(DataError, match=f"{k} distinct rows cannot be chosen among 3"):
        facility_location(np.eye(3), np.eye(3), k)
