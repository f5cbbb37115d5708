"""One training: the same seed is the same training, another seed another head, and nothing is left over from before."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dilm.evaluation.finetune import finetune
from dilm.models.classifier import Classifier
from dilm.runtime.optimize import Schedule
from dilm.types import Dataset

Learners = Callable[[], Classifier]
SHORT = Schedule(4, 1e-2, warmup=0.5)


def trained(learner: Classifier, rows: Dataset, seed: int, schedule: Schedule = SHORT) -> dict[str, Tensor]:
    finetune(learner, rows, schedule, 8, seed)
    return learner.snapshot()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_same_seed_is_the_same_training_bit_for_bit(new_learner: Learners, train: Dataset):
    torch.manual_seed(1)
    first = trained(new_learner(), train, seed=3)
    torch.manual_seed(2)
    assert equal(first, trained(new_learner(), train, seed=3))
    assert not equal(first, trained(new_learner(), train, seed=4))


def test_what_the_learner_was_before_does_not_matter(new_learner: Learners, train: Dataset):
    learner = new_learner()
    trained(learner, train, seed=9)
    learner.eval()
    assert equal(trained(learner, train, seed=3), trained(new_learner(), train, seed=3))


def test_another_seed_is_another_head_on_the_same_body(new_learner: Learners, train: Dataset):
    """With a rate of almost nothing, what is left is what the training began with."""
    still = Schedule(1, 1e-30, weight_decay=0.0)
    one, other = (trained(new_learner(), train, seed, still) for seed in (0, 1))
    moved = {name for name, value in one.items() if not torch.equal(value, other[name])}
    assert "classifier.weight" in moved
    assert all(name.startswith(("classifier", "bert.pooler")) for name in moved)


def test_training_lowers_the_loss_and_ends_in_eval_mode(new_learner: Learners, train: Dataset):
    learner, losses = new_learner(), []
    finetune(learner, train, Schedule(150, 1e-2), 12, 0, lambda steps, loss: losses.append(loss))
    assert len(losses) == 150 and sum(losses[-5:]) < sum(losses[:5]) / 2
    assert not learner.model.training
    right = [guess == truth for guess, truth in zip(learner.predict(train), train.labels, strict=True)]
    assert sum(right) >= 30


def test_a_batch_larger_than_the_set_is_the_set(new_learner: Learners, train: Dataset):
    one, other = new_learner(), new_learner()
    finetune(one, train.take(range(6)), SHORT, 6, 0)
    finetune(other, train.take(range(6)), SHORT, 64, 0)
    assert equal(one.snapshot(), other.snapshot())
