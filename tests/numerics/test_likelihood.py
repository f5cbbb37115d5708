"""From token sums to text likelihoods, and from these to weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.numerics.likelihood import likelihood_weights, text_nll

SUMS, LENGTHS = torch.tensor([6.0, 8.0, 1.0]), torch.tensor([3, 8, 1])
NLLS = st.lists(st.floats(0, 50), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("likelihood", "wanted"), [("token", [2, 1, 1]), ("sum", [6, 8, 1]), ("padded", [0.75, 1, 0.125])]
)
def test_each_likelihood_divides_by_what_it_says(likelihood: str, wanted: list[float]):
    assert text_nll(SUMS, LENGTHS, likelihood).tolist() == wanted


def test_the_token_mean_is_the_default():
    assert torch.equal(text_nll(SUMS, LENGTHS), text_nll(SUMS, LENGTHS, "token"))


@pytest.mark.parametrize("likelihood", ["token", "sum"])
def test_a_text_does_not_feel_its_neighbours(likelihood: str):
    alone = torch.cat([text_nll(SUMS[row : row + 1], LENGTHS[row : row + 1], likelihood) for row in range(3)])
    assert torch.equal(text_nll(SUMS, LENGTHS, likelihood), alone)


def test_padded_feels_the_longest_text():
    assert text_nll(SUMS[:1], LENGTHS[:1], "padded").item() == 2.0
    assert text_nll(SUMS, LENGTHS, "padded")[0].item() == 0.75


@settings(max_examples=25, deadline=None)
@given(nlls=NLLS, temperature=st.floats(0.1, 10), shift=st.floats(-20, 20))
def test_weights_are_a_distribution_that_only_differences_decide(nlls, temperature, shift):
    nll = torch.tensor(nlls, dtype=torch.float64)
    weights = likelihood_weights(nll, temperature)
    assert float(weights.sum()) == pytest.approx(1)
    torch.testing.assert_close(likelihood_weights(nll + shift, temperature), weights, rtol=1e-6, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(nlls=NLLS, temperature=st.floats(0.1, 10))
def test_the_odds_of_two_texts_are_their_likelihood_ratio(nlls, temperature):
    nll = torch.tensor(nlls, dtype=torch.float64)
    log_odds = (likelihood_weights(nll, temperature).log() * temperature + nll).numpy()
    finite = log_odds[abs(log_odds) < 1e300]
    assert finite.max() - finite.min() == pytest.approx(0, abs=1e-6)


def test_heat_levels_and_cold_decides():
    nll = torch.tensor([1.0, 2.0, 4.0])
    assert likelihood_weights(nll, 1e6).tolist() == pytest.approx([1 / 3] * 3, abs=1e-5)
    assert likelihood_weights(nll, 0.01).tolist() == pytest.approx([1, 0, 0])
