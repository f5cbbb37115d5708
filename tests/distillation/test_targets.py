"""The gradient to match: of which rows, how often computed, and that batching does not change it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from dilm.distillation.targets import RandomRows, Representatives, mean_gradient
from dilm.models.classifier import Classifier
from dilm.types import Dataset, Example, Task

Learners = Callable[[], Classifier]


class Witness:
    """A learner whose gradient of an example is a unit vector: the mean tells who was asked, and how often."""

    def __init__(self, rows: Sequence[Example]) -> None:
        self.places = {example: place for place, example in enumerate(rows)}
        self.asked: list[int] = []

    def gradients(self, examples: Sequence[Example]) -> Tensor:
        self.asked.append(len(examples))
        return torch.eye(len(self.places))[[self.places[example] for example in examples]]


@pytest.fixture
def numbered() -> Dataset:
    task = Task("numbers", ("text",), ("even", "odd"))
    return Dataset(task, [Example((str(number),), number % 2) for number in range(200)])


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_micro_batches_give_the_mean_of_all(new_learner: Learners, train: Dataset, batch: int):
    learner = new_learner()
    whole = learner.gradients(train).mean(0)
    torch.testing.assert_close(mean_gradient(learner, train, batch), whole, rtol=1e-5, atol=1e-6)


def test_micro_batches_are_as_small_as_asked(numbered: Dataset):
    witness = Witness(numbered)
    assert torch.allclose(mean_gradient(witness, numbered, batch=64), torch.full((200,), 1 / 200))
    assert witness.asked == [64, 64, 64, 8]


def test_random_rows_are_distinct_rows_of_the_class_and_others_at_each_step(numbered: Dataset):
    target, drawn = RandomRows(numbered, 30, seed=0), []
    for step in range(40):
        gradient = target(Witness(numbered), condition=1, step=step)
        rows = gradient.nonzero().squeeze(1).tolist()
        assert len(rows) == 30 and all(row % 2 for row in rows)
        drawn.append(tuple(rows))
    assert len(set(drawn)) == 40
    assert len({row for rows in drawn for row in rows}) == 100
    assert torch.equal(RandomRows(numbered, 30, seed=0)(Witness(numbered), 1, 7), target(Witness(numbered), 1, 7))


def test_a_class_with_fewer_rows_gives_them_all(numbered: Dataset):
    gradient = RandomRows(numbered, 1000, seed=0)(Witness(numbered), condition=0, step=0)
    assert gradient.nonzero().squeeze(1).tolist() == list(range(0, 200, 2))


def teachers(numbered: Dataset) -> dict[int, list[tuple[Example, ...]]]:
    """Three teacher sets of five rows for each class."""
    return {label: [numbered.of(label).examples[5 * at : 5 * at + 5] for at in range(3)] for label in (0, 1)}


def test_representatives_are_one_of_the_teacher_sets_each_about_equally_often(numbered: Dataset):
    target = Representatives(teachers(numbered), age=lambda step: "same", seed=0)
    drawn = Counter()
    for step in range(300):
        rows = target(Witness(numbered), condition=0, step=step).nonzero().squeeze(1).tolist()
        drawn[tuple(rows)] += 1
    expected = {tuple(range(start, start + 10, 2)) for start in (0, 10, 20)}
    assert set(drawn) == expected and min(drawn.values()) > 60


@pytest.mark.parametrize("age", [lambda step: f"0.{step % 2}", lambda step: None], ids=["cached", "fresh"])
def test_what_is_kept_is_what_would_be_computed(new_learner: Learners, train: Dataset, age):
    """States come and go; at each step the gradient is that of the learner's state of that step."""
    states = {}
    for seed in range(3):
        learner = new_learner()
        learner.reset(seed)
        states[seed] = learner
    sets = {label: [train.of(label).examples[:6], train.of(label).examples[6:12]] for label in (0, 1)}
    target = Representatives(sets, age, seed=2)
    for step in range(12):
        learner = states[step % 2 if age(step) else step % 3]
        for condition in (0, 1):
            alone = Representatives(sets, age, seed=2)(learner, condition, step)
            assert torch.equal(target(learner, condition, step), alone)


def test_a_state_that_comes_again_costs_nothing(numbered: Dataset):
    witness = Witness(numbered)
    target = Representatives(teachers(numbered), age=lambda step: f"0.{step % 2}", seed=0)
    for step in range(200):
        target(witness, step % 2, step)
        target(witness, 1 - step % 2, step)
    assert len(witness.asked) == len(target.known) == 2 * 2 * 3  # ages, classes, sets


def test_states_that_never_come_again_are_not_kept(numbered: Dataset):
    target = Representatives(teachers(numbered), age=lambda step: None, seed=0)
    for step in range(50):
        target(Witness(numbered), 0, step)
        target(Witness(numbered), 1, step)
    assert not target.known


def test_a_target_has_no_graph(new_learner: Learners, train: Dataset):
    assert not mean_gradient(new_learner(), train).requires_grad
