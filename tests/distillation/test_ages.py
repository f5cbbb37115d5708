"""A learner at an age is that learner, whoever asked it before."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dilm.distillation.ages import SideBySide, at_ages
from dilm.distillation.trajectory import Ageing, Cached
from dilm.models.classifier import Classifier
from dilm.runtime.optimize import Schedule
from dilm.types import Dataset


def test_each_age_answers_as_the_bank_has_it_in_any_order(new_learner: Callable[[], Classifier], train: Dataset):
    learner = new_learner()
    bank = Cached(Ageing(train, 3, 2, Schedule(4, 1e-2), 8, seed=1), 1)
    bank.fill(learner, lambda: None)
    ages = at_ages(learner, bank, ("0.0", "0.1", "0.2"))
    rows = train[:5]
    forwards = [age.probabilities(rows) for age in ages]
    backwards = [age.probabilities(rows) for age in reversed(ages)][::-1]
    assert all(torch.equal(one, other) for one, other in zip(forwards, backwards, strict=True))
    assert not torch.allclose(forwards[0], forwards[2], atol=1e-4)
    together = SideBySide(ages).gradients(rows)
    assert torch.equal(together, torch.cat([age.gradients(rows) for age in ages], dim=1))
    assert torch.allclose(forwards[0].sum(dim=1), torch.ones(5), atol=1e-5)
