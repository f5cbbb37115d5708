"""Near-duplicates: what is given away, to whom, and how many are found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dilm.errors import DataError
from dilm.numerics import duplicates
from dilm.numerics.duplicates import stand_ins

any_points = arrays(np.float32, st.tuples(st.integers(0, 40), st.integers(1, 4)), elements=st.integers(-5, 5))
small_cells = pytest.mark.usefixtures("_small_cells")


@pytest.fixture
def _small_cells(monkeypatch):
    monkeypatch.setattr(duplicates, "CELL", 4)
    monkeypatch.setattr(duplicates, "BLOCK", 3)


def cosines(points: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(points.astype(float), axis=1, keepdims=True)
    units = points / np.where(lengths > 0, lengths, 1)
    return units @ units.T


def kept_in_turn(points: np.ndarray, cosine: float) -> list[int]:
    """The plain way: each row in turn stays unless one that stayed is near it."""
    near, kept = cosines(points) >= cosine - 1e-6, []
    for row in range(len(points)):
        if not near[row, kept].any():
            kept.append(row)
    return kept


def with_repeats(rows: int, repeats: int, cosine: float, dimensions: int = 24) -> np.ndarray:
    """Random directions, and after them repeats of the first ones at a cosine."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(rows, dimensions))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    noise = rng.normal(size=(repeats, dimensions))
    noise -= np.sum(noise * points[:repeats], axis=1, keepdims=True) * points[:repeats]
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return np.vstack([points, cosine * points[:repeats] + np.sqrt(1 - cosine**2) * noise]).astype(np.float32)


@small_cells
@given(any_points, st.sampled_from([0.5, 0.9, 1.0]), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_who_is_given_away_is_like_an_earlier_row_that_stays(points, cosine, seed):
    found, near = stand_ins(points, cosine, seed), cosines(points)
    assert found.shape == (len(points),)
    for row, other in enumerate(found):
        assert other <= row and found[other] == other
        assert row == other or near[row, other] >= cosine - 2e-6


@given(any_points, st.sampled_from([0.5, 0.9, 1.0]))
@settings(max_examples=100, deadline=None)
def test_of_few_rows_it_is_the_plain_way(points, cosine):
    found = stand_ins(points, cosine, seed=0)
    assert np.flatnonzero(found == np.arange(len(points))).tolist() == kept_in_turn(points, cosine)


@pytest.mark.parametrize("cosine", [0.95, 0.99])
def test_of_many_rows_nearly_all_are_found_and_no_others(cosine):
    points = with_repeats(4000, 1000, cosine + 0.004, dimensions=200)
    given_away = stand_ins(points, cosine, seed=0) != np.arange(len(points))
    assert given_away[4000:].mean() > 0.97
    assert not given_away[:4000].any()


@small_cells
def test_equal_points_leave_one_row_however_many_they_are():
    points = np.ones((500, 3), dtype=np.float32)
    assert not stand_ins(points, 1.0, seed=0).any()


def test_the_seed_alone_decides():
    points = with_repeats(3000, 600, 0.9)
    first, again = (stand_ins(points, 0.88, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@small_cells
def test_a_point_at_zero_is_like_no_other():
    points = np.array([[0, 0], [1, 0], [0, 0], [2, 0]], dtype=np.float32)
    assert stand_ins(points, 0.1, seed=0).tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("cosine", [0.0, -0.5, 1.1, float("nan")])
def test_no_such_cosine(cosine):
    with pytest.raises(DataError, match="above 0 and at most 1"):
        stand_ins(np.eye(2), cosine, seed=0)
