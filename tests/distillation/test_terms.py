"""Terms of the objective: what they ask for is what a step along their slope gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.distillation.terms import Weighed, expected, pointwise_information, spread, telling
from dilm.numerics.likelihood import likelihood_weights
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Example, Task

ROWS = [Example((f"q{at}", f"a{at}"), 0) for at in range(4)]


@given(st.lists(st.floats(0, 10), min_size=4, max_size=4))
@settings(deadline=None)
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


class Urns:
    """A generator that draws one of V one-word texts from the urn of a condition: logits [C, V]."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits
        self.task = Task("urns", ("text",), tuple(map(str, range(len(logits)))))

    def nll(self, rows: list[Example]) -> torch.Tensor:
        told = -self.logits.log_softmax(1)
        return torch.stack([told[row.label, int(row.texts[0])] for row in rows])

    def token_nlls(self, rows: list[Example]) -> list[torch.Tensor]:
        half = self.nll(rows).detach() / 2
        return [torch.stack([each, each]) for each in half]

    def train(self) -> None:
        pass


def texts_of(urns: Urns, condition: int) -> list[Example]:
    return [Example((str(text),), condition) for text in range(urns.logits.shape[1])]


def information(logits: torch.Tensor) -> torch.Tensor:
    """Mutual information of condition and text, conditions being equally frequent, in nats."""
    given = logits.softmax(1) / len(logits)  # [C, V]
    return (given * (given / (given.sum(0) / len(logits))).log()).sum()


@given(conditions=st.integers(2, 4), texts=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_coverage_is_the_share_of_information_and_so_is_its_slope(conditions: int, texts: int, seed: int):
    drawn = torch.randn(conditions, texts, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    slopes, worths = [], []
    for of in ("term", "oracle"):
        urns = Urns((3 * drawn).requires_grad_())
        if of == "term":
            term = Weighed("coverage", 1.0, expected(lambda rows, urns=urns: telling(urns, rows)))  # type: ignore[arg-type]
            each = [texts_of(urns, condition) for condition in range(conditions)]
            worth = -sum(term(rows, likelihood_weights(urns.nll(rows), 1.0)) for rows in each) / conditions
        else:
            worth = information(urns.logits) / torch.tensor(conditions).log()
        (slope,) = torch.autograd.grad(worth, urns.logits)
        slopes.append(slope)
        worths.append(worth.item())
    assert worths[0] == pytest.approx(worths[1], abs=1e-5)
    torch.testing.assert_close(slopes[0], slopes[1], atol=1e-5, rtol=1e-4)


def test_a_text_tells_its_condition_wholly_or_not_at_all_or_another():
    urns = Urns(torch.tensor([[50.0, 0.0, 0.0], [0.0, 50.0, 0.0]]))
    rows = [Example(("0",), 0), Example(("2",), 0), Example(("1",), 0)]
    sure, nothing, other = telling(urns, rows).tolist()  # type: ignore[arg-type]
    assert sure == pytest.approx(1) and nothing == pytest.approx(0) and other < -10


def test_taking_it_leaves_the_generator_as_it_was_trained(new_generator):
    """Dropout goes on, and each posterior is that of whole likelihoods."""
    generator, rows = new_generator(), [Example(("the plot was dull",), 0), Example(("the end was warm and fine",), 1)]
    generator.eval()
    sums = [generator.nll([Example(row.texts, label) for row in rows]) * generator.lengths(rows) for label in (0, 1)]
    expected_share = 1 + torch.log_softmax(-torch.stack(sums), 0).diagonal() / torch.tensor(2.0).log()
    generator.train()
    told = telling(generator, rows)
    torch.testing.assert_close(told, expected_share.detach(), atol=1e-4, rtol=1e-4)
    assert generator.model.training and not told.requires_grad


def test_steps_on_what_is_written_tell_conditions_apart():
    """Drawn from urns that begin nearly alike, as matching meets proposals: their information grows to most of it."""
    rng = torch.Generator().manual_seed(0)
    logits = (0.3 * torch.randn(2, 6, generator=rng)).requires_grad_()
    urns, worth = Urns(logits), expected(lambda rows: telling(urns, rows))  # type: ignore[arg-type]
    assert information(logits) < 0.1
    update = AdamW([logits], Schedule(120, 0.1, warmup=0.0, weight_decay=0.0))
    for _ in range(120):
        drawn = logits.detach().softmax(1).multinomial(32, replacement=True, generator=rng).tolist()
        rows = [[Example((str(text),), label) for text in texts] for label, texts in enumerate(drawn)]
        update((-worth(each, likelihood_weights(urns.nll(each) / 4, 1.0)) for each in rows), 2)  # as flat as a mean's
    assert information(logits) > 0.8 * torch.tensor(2.0).log()
