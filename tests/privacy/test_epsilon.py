"""Lower bounds on ε, of mechanisms whose ε is known: hardly ever above it, and near it where there is much to see."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from dilm.errors import DataError
from dilm.privacy.epsilon import from_rates, from_scores, from_scores_p, guessed_right, in_one_run, surprise

OFTEN = 200
"""Audits, each of a fresh draw."""
ALLOWED = 0.05 * OFTEN + 3 * (0.05 * 0.95 * OFTEN) ** 0.5
"""Of these, as many may be wrong, and a little luck."""


def plain_surprise(right: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """As the authors wrote it (Steinke et al. 2023, appendix): term by term."""
    share = 1 / (1 + exp(-epsilon))
    steepest = total = 0.0
    for back in range(1, right + 1):
        total += binom.pmf(right - back, guesses, share)
        steepest = max(steepest, total / back)
    return min(1.0, binom.sf(right - 1, guesses, share) + steepest * delta * 2 * canaries)


@given(
    counts=st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)).map(sorted),
    epsilon=st.floats(0, 4),
    delta=st.floats(0, 0.01),
)
def test_the_chance_of_lucky_guesses_is_the_authors(counts: list[int], epsilon: float, delta: float):
    assert surprise(*counts, epsilon, delta) == pytest.approx(plain_surprise(*counts, epsilon, delta), abs=1e-9)


@given(counts=st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200)).map(sorted))
def test_a_bound_grows_with_right_guesses_and_falls_with_delta(counts: list[int]):
    right, guesses, canaries = counts
    bound = in_one_run(right, guesses, canaries, 0.0)
    assert bound >= 0 and in_one_run(right, guesses, canaries, 1e-3) <= bound + 1e-6
    if right:
        assert in_one_run(right - 1, guesses, canaries, 0.0) <= bound + 1e-6
    if bound:
        assert surprise(right, guesses, canaries, bound * 0.999, 0.0) < 0.05


def test_more_right_guesses_than_guesses_are_refused():
    with pytest.raises(DataError, match="3 right of 2 guesses"):
        in_one_run(3, 2, 5, 0.0)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0, 3.0])
def test_randomised_response_is_hardly_ever_refuted_at_its_own_epsilon(epsilon: float):
    """Each canary's truth is told with probability e^ε / (1 + e^ε): no attack can do better on an ε-DP mechanism."""
    rng, truthful = np.random.default_rng(7), 1 / (1 + exp(-epsilon))
    one_run, trials = [], []
    for _ in range(OFTEN):
        inside = rng.random(300) < 0.5
        said = np.where(rng.random(300) < truthful, inside, ~inside)
        one_run.append(from_scores(said + rng.random(300) / 2, inside, 0.0))
        trials.append(from_rates(int(said[inside].sum()), int(inside.sum()), int(said[~inside].sum()),
                                 int((~inside).sum()), 0.0))  # fmt: skip
    for bounds in (one_run, trials):
        assert sum(bound > epsilon + 1e-9 for bound in bounds) <= ALLOWED
    if epsilon >= 1:
        assert np.median(one_run) > 0.5 * epsilon and np.median(trials) > 0.5 * epsilon


def gaussian_delta(epsilon: float, sigma: float) -> float:
    """δ of the Gaussian mechanism with sensitivity 1 (Balle and Wang 2018)."""
    from scipy.special import ndtr

    return float(ndtr(0.5 / sigma - epsilon * sigma) - exp(epsilon) * ndtr(-0.5 / sigma - epsilon * sigma))


def gaussian_epsilon(delta: float, sigma: float) -> float:
    low, high = 0.0, 200.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if gaussian_delta(middle, sigma) > delta else (low, middle)
    return high


@pytest.mark.parametrize("noise", ["gaussian", "laplace"])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_sums_with_noise_are_hardly_ever_refuted_at_their_epsilon(noise: str, scale: float):
    """Each canary adds 1 to a cell of its own, and every cell has noise: (ε, δ) is known exactly."""
    rng, delta = np.random.default_rng(3), 1e-5
    epsilon = gaussian_epsilon(delta, scale) if noise == "gaussian" else 1 / scale
    bounds = []
    for _ in range(60):
        inside = rng.random(400) < 0.5
        drawn = rng.normal(0, scale, 400) if noise == "gaussian" else rng.laplace(0, scale, 400)
        bounds.append(from_scores(inside + drawn, inside, delta))
    assert sum(bound > epsilon for bound in bounds) <= 0.05 * 60 + 5
    assert scale > 1 or np.median(bounds) > 0.2 * min(epsilon, log(400))


def test_of_no_privacy_at_all_much_is_shown_and_of_nothing_learnt_nothing():
    inside = np.arange(200) % 2 == 0
    assert from_scores(inside.astype(float), inside, 1e-5) > 3
    assert from_scores_p(inside.astype(float), inside) < 1e-6
    assert from_scores(np.arange(200.0), inside, 1e-5) == 0.0 and from_scores_p(np.arange(200.0), inside) > 0.5


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_of_guesses_those_at_both_ends_count(canaries: int, seed: int):
    rng = np.random.default_rng(seed)
    inside, scores = rng.random(canaries) < 0.5, rng.permutation(canaries).astype(float)
    everything = guessed_right(scores, inside, canaries)
    assert everything == (inside == (scores >= canaries // 2)).sum()
    assert guessed_right(inside.astype(float), inside, 2) >= bool(inside.any()) + bool((~inside).any())


@given(members=st.integers(0, 50), wrong=st.integers(0, 50), delta=st.floats(0, 0.1))
def test_an_attack_and_its_opposite_say_the_same(members: int, wrong: int, delta: float):
    """Calling the others members is passing them over."""
    forth, back = from_rates(members, 50, wrong, 50, delta), from_rates(50 - wrong, 50, 50 - members, 50, delta)
    assert forth == pytest.approx(back)
    assert from_rates(members, 50, members, 50, delta) == 0.0
