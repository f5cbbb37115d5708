"""Variety has its fixed points, and two samples of one distribution are near each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dilm.errors import DataError
from dilm.numerics.diversity import distinct, frechet, points_needed, repetition_rate, vendi
from dilm.numerics.words import jaccard, ngrams, shingles, words

any_text = st.lists(st.sampled_from("abcd"), max_size=8)
any_texts = st.lists(any_text, min_size=1, max_size=6)
seeds = st.integers(0, 10_000)


def cloud(seed: int, rows: int, dimensions: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dimensions))


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_words_depend_on_neither_case_nor_spaces_and_any_sign_counts(text):
    assert words(f"  {text}\n") == words(text)
    assert words(text.upper()) == words(text.upper().lower())
    assert bool(words(text)) == bool("".join(text.split()))


def test_a_tokenizers_spaces_hide_no_copy():
    assert words("It 's a \uff27ood one , isn 't it ?") == words("it's a good one, ISN'T it?")


@given(any_texts, st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_distinct_is_a_share_and_is_1_where_nothing_repeats(texts, n):
    if not any(len(text) >= n for text in texts):
        with pytest.raises(DataError, match=f"run of {n} words"):
            distinct(texts, n)
        return
    share = distinct(texts, n)
    assert 0 < share <= 1
    assert share == distinct(texts[::-1], n)
    assert distinct(texts + texts, n) == pytest.approx(share / 2)
    found = [gram for text in texts for gram in ngrams(text, n)]
    assert (share == 1) == (len(found) == len(set(found)))


@given(any_texts)
@settings(max_examples=50, deadline=None)
def test_a_text_said_five_times_repeats_itself_and_no_short_text_does(texts):
    assert repetition_rate([[*text, "x", "y"] * 5 for text in texts]) == 1
    assert repetition_rate([text[:4] for text in texts]) == 0


@given(any_text, any_text)
@settings(max_examples=50, deadline=None)
def test_jaccard_is_symmetric_and_1_for_equal_texts_only(ours, theirs):
    alike = jaccard(shingles(ours), shingles(theirs))
    assert 0 <= alike <= 1 and alike == jaccard(shingles(theirs), shingles(ours))
    assert (alike == 1) == (shingles(ours) == shingles(theirs) != set())


@given(seeds, st.integers(1, 20), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_identical_points_are_one_and_orthogonal_ones_are_all(seed, n, d):
    point, lengths = cloud(seed, 1, d), 1 + np.random.default_rng(seed).random((n, 1))
    assert vendi(np.repeat(point, n, axis=0) * lengths) == pytest.approx(1)
    turned, _ = np.linalg.qr(cloud(seed, n, n))
    assert vendi(turned * lengths) == pytest.approx(n)


@given(seeds, st.integers(1, 20), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_vendi_equals_its_definition_and_forgets_the_order(seed, n, d):
    points = cloud(seed, n, d)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / n).clip(1e-300)
    assert vendi(points) == pytest.approx(np.exp(-np.sum(values * np.log(values))))
    assert 1 - 1e-9 <= vendi(points) <= min(n, d) + 1e-9
    assert vendi(points) == pytest.approx(vendi(points[::-1]))
    assert vendi(np.concatenate([points, points])) == pytest.approx(vendi(points))


@given(arrays(np.float32, (3, 2), elements=st.just(0.0)))
@settings(max_examples=1, deadline=None)
def test_points_without_a_direction_are_refused(points):
    with pytest.raises(DataError, match="no direction"):
        vendi(points)
    with pytest.raises(DataError, match="no points"):
        vendi(points[:0])


@given(seeds, st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_frechet_equals_its_definition(seed, d):
    from scipy.linalg import sqrtm

    ours, theirs = cloud(seed, 60, d) @ cloud(seed + 1, d, d), cloud(seed + 2, 70, d) + 1
    covariances = [np.atleast_2d(np.cov(side.T)) for side in (ours, theirs)]
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    means = ours.mean(axis=0) - theirs.mean(axis=0)
    expected = means @ means + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet(ours, theirs) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert frechet(theirs, ours) == pytest.approx(frechet(ours, theirs))


@given(seeds, st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_a_cloud_is_as_far_from_itself_as_it_was_moved(seed, d):
    points, shift = cloud(seed, 60, d), cloud(seed + 1, 1, d)
    assert frechet(points, points) == pytest.approx(0, abs=1e-9)
    assert frechet(points, points + shift) == pytest.approx(np.sum(shift**2))


@pytest.mark.parametrize("dimensions", [8, 32])
def test_with_the_fewest_points_one_distribution_is_nearly_at_no_distance_from_itself(dimensions):
    rows = points_needed(dimensions)
    apart = [frechet(cloud(seed, rows, dimensions), cloud(seed + 99, rows, dimensions)) for seed in range(10)]
    assert np.mean(apart) / dimensions < 0.1


def test_too_few_points_are_refused_on_either_side():
    enough, few = cloud(0, 41, 4), cloud(1, 40, 4)
    for sides in ((enough, few), (few, enough)):
        with pytest.raises(DataError, match="in 4 dimensions needs 41 points a side, and there are 40"):
            frechet(*sides)
    with pytest.raises(DataError, match="have no distance"):
        frechet(enough, cloud(0, 41, 3))
