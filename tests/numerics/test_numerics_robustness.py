"""DD-Ranking's scores on the published means of DiLM, all with hard labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilm.numerics.robustness import augmentation_robust, label_robust, normalised


@pytest.mark.parametrize(
    ("ours", "random", "score"), [(0.725, 0.581, 0.257), (0.763, 0.643, 0.260), (0.803, 0.703, 0.264)]
)
def test_label_robust_scores_of_the_published_figures(ours: float, random: float, score: float):
    found = label_robust(ours, full=0.927, ours_soft=ours, random_soft=random)
    assert found.score == pytest.approx(score, abs=6e-4)
    assert (found.lost, found.gained) == pytest.approx((0.927 - ours, ours - random))


def test_the_augmentation_robust_score_weighs_both_differences_alike():
    one = augmentation_robust(ours=0.8, random=0.7, ours_augmented=0.75, random_augmented=0.75)
    other = augmentation_robust(ours=0.7, random=0.7, ours_augmented=0.85, random_augmented=0.75)
    assert one.score == pytest.approx(other.score) == pytest.approx(normalised(0.05))


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_more_is_better(left: float, right: float):
    assert (normalised(left) < normalised(right)) == (left < right) or left == pytest.approx(right)
