"""Terms of the objective: what they ask for is what a step along their slope gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dilm.distillation.terms import Weighed, expected, pointwise_information, spread
from dilm.numerics.likelihood import likelihood_weights
from dilm.types import Example

ROWS = [Example((f"q{at}", f"a{at}"), 0) for at in range(4)]


@given(st.lists(st.floats(0, 10), min_size=4, max_size=4))
def test_entropy_is_a_share_and_greatest_where_all_are_as_likely(nll: list[float]):
    weights = likelihood_weights(torch.tensor(nll, dtype=torch.float64), 1.0)
    assert -1e-9 <= float(spread(ROWS, weights)) <= 1 + 1e-9
    assert float(spread(ROWS, torch.full((4,), 0.25))) == pytest.approx(1)


def test_a_term_teaches_the_writer_what_it_is_worth_and_says_how_much():
    nll = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    term = Weighed("coherence", 2.0, expected(lambda rows: torch.tensor([0.0, 1.0, 0.0, 0.0])))
    loss = term(ROWS, likelihood_weights(nll, 1.0))
    loss.backward()
    assert nll.grad[1] > 0 and (nll.grad[[0, 2, 3]] < 0).all()  # less nll for the second, more for the others
    assert term.told() == [pytest.approx(-loss.item() / 2)] and term.told() == []


class Parrot:
    """Finds a target likely that its input foretells."""

    def token_losses(self, rows: list[Example]) -> list[torch.Tensor]:
        return [torch.full((3,), 1.0 if row.texts[0][1:] == row.texts[1][1:] else 4.0) for row in rows]

    def unasked_losses(self, rows: list[Example]) -> list[torch.Tensor]:
        return [torch.full((3,), 3.0) for _ in rows]


def test_information_is_what_the_input_spares():
    rows = [Example(("q1", "a1"), 0), Example(("q1", "a2"), 0)]
    assert pointwise_information(Parrot(), rows).tolist() == [2.0, -1.0]  # type: ignore[arg-type]
