"""Intervals hold what they promise, tails are sums, areas are shares of pairs: each against the plain way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from dilm.errors import DataError
from dilm.numerics.chances import (
    LEVEL,
    at_least,
    auc,
    auc_interval,
    clopper_pearson,
    drawn_at_least,
    holm,
    rank_sum_p,
    threshold_at,
)

SCORES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12).map(np.array)


def binomial(hits: int, trials: int, share: float) -> float:
    return math.comb(trials, hits) * share**hits * (1 - share) ** (trials - hits)


@given(trials=st.integers(1, 25), share=st.floats(0.0, 1.0))
def test_an_exact_interval_holds_the_share_at_least_as_often_as_it_says(trials: int, share: float):
    covered = 0.0
    for hits in range(trials + 1):
        low, high = clopper_pearson(hits, trials)
        assert 0 <= low <= hits / trials <= high <= 1
        covered += binomial(hits, trials, share) * (low <= share <= high)
    assert covered >= LEVEL - 1e-9


def test_of_nothing_nothing_is_known():
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@given(trials=st.integers(1, 15), hits=st.integers(0, 15), share=st.floats(0.01, 0.99))
def test_a_binomial_tail_is_a_sum(trials: int, hits: int, share: float):
    plain = sum(binomial(count, trials, share) for count in range(hits, trials + 1))
    assert at_least(hits, trials, share) == pytest.approx(plain if hits <= trials else 0.0, abs=1e-9)


@given(st.data())
def test_a_hypergeometric_tail_is_a_sum(data: st.DataObject):
    whole = data.draw(st.integers(1, 20))
    marked, drawn = data.draw(st.integers(0, whole)), data.draw(st.integers(0, whole))
    hits = data.draw(st.integers(0, 20))
    ways = math.comb(whole, drawn)
    plain = sum(
        math.comb(marked, count) * math.comb(whole - marked, drawn - count) / ways for count in range(hits, drawn + 1)
    )
    assert drawn_at_least(hits, drawn, marked, whole) == pytest.approx(plain, abs=1e-9)


@given(members=SCORES, others=SCORES)
def test_an_area_is_the_share_of_pairs_that_are_in_order(members: np.ndarray, others: np.ndarray):
    above, equal = members[:, None] > others, members[:, None] == others
    assert auc(members, others) == pytest.approx((above + equal / 2).mean())
    assert auc(members, others) == pytest.approx(1 - auc(others, members))
    low, high = auc_interval(auc(members, others), len(members), len(others))
    assert 0 <= low <= auc(members, others) <= high <= 1


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.5])
def test_an_areas_interval_holds_the_truth_about_as_often_as_it_says(shift: float):
    from scipy.special import ndtr

    rng, truth, held = np.random.default_rng(1), float(ndtr(shift / 2**0.5)), 0
    for _ in range(300):
        found = auc(rng.normal(shift, 1, 40), rng.normal(0, 1, 40))
        low, high = auc_interval(found, 40, 40)
        held += low <= truth <= high
    assert held >= 0.92 * 300


def test_a_perfect_area_leaves_room_for_doubt():
    low, high = auc_interval(1.0, 20, 20)
    assert 0.7 < low < 1.0 == high
    with pytest.raises(DataError, match="members and others"):
        auc_interval(0.7, 0, 3)


@given(members=SCORES, others=SCORES)
def test_ranks_are_as_surprising_as_scipy_says(members: np.ndarray, others: np.ndarray):
    if len({*members, *others}) < 2:
        assert rank_sum_p(members, others) == 1.0
        return
    asked = mannwhitneyu(members, others, alternative="greater", method="asymptotic", use_continuity=True)
    assert rank_sum_p(members, others) == pytest.approx(asked.pvalue, abs=1e-9)


@given(others=SCORES, rate=st.floats(0.0, 0.99))
def test_no_more_than_the_allowed_share_is_above_a_threshold(others: np.ndarray, rate: float):
    assert (others > threshold_at(others, rate)).sum() <= rate * len(others)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_correction_raises_p_values_and_keeps_their_order(chances: list[float]):
    corrected = holm(chances)
    assert all(before <= after <= 1 for before, after in zip(chances, corrected, strict=True))
    assert sorted(range(len(chances)), key=lambda at: chances[at]) == sorted(
        range(len(chances)), key=lambda at: (corrected[at], chances[at])
    )
    if chances:
        assert min(corrected) == pytest.approx(min(1.0, len(chances) * min(chances)))
