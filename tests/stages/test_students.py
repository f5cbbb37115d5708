"""Trials in one process share what does not depend on the trial: the opened learner, its tokens, frozen features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dilm.evaluation.trials import Trial, run_trial
from dilm.models.encoder import FeatureEncoder
from dilm.models.encodings import Encodings
from dilm.recipe import Runtime
from dilm.recipe.learners import Learning
from dilm.runtime.optimize import Schedule
from dilm.stages.students import Enrolled, student
from dilm.types import Dataset

RUNTIME, SHORT = Runtime(device="cpu", precision="fp32"), Schedule(2, 1e-3)


@pytest.fixture
def folder(folders: dict[str, Path]) -> str:
    return str(folders["learner"])


def trials(train: Dataset, schedule: Schedule | None) -> list[Trial]:
    """Two of one set, and one of a set that shares rows with it."""
    sets = [train.take([*range(first, first + 4), *range(18 + first, 22 + first)]) for first in (0, 0, 2)]
    test = train.take([*range(8, 18), *range(26, 36)])
    return [Trial("m", "l", 4, 0, seed, rows, test, schedule, 8, "l") for seed, rows in enumerate(sets)]


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[Any]:
    """What a method of one argument is asked for, call by call."""
    asked: list[Any] = []
    before = getattr(owner, name)

    def counting(self: Any, given: Any, *others: Any) -> Any:
        asked.extend(given)
        return before(self, given, *others)

    monkeypatch.setattr(owner, name, counting)
    return asked


def test_fine_tunings_share_the_learner_its_tokens_and_its_initial_state(monkeypatch, folder: str, train: Dataset):
    asked = counted(monkeypatch, Encodings, "_tokenise")
    who = Enrolled("bert", Learning("finetune", folder), folder, "tokens")
    several = trials(train, SHORT)
    students = [student(who, train.task, SHORT, 8, RUNTIME) for _ in several]
    assert len({id(each.learner) for each in students}) == 1  # type: ignore[attr-defined]
    initial = {name: value.clone() for name, value in students[0].learner.pristine.items()}  # type: ignore[attr-defined]
    for trial, each in zip(several, students, strict=True):
        run_trial(trial, each)
    assert len(asked) == len(set(asked)), "a text was tokenised twice"
    kept = dict(students[0].learner.pristine)  # type: ignore[attr-defined]
    body = [name for name in kept if name not in students[0].learner.pristine.fresh]  # type: ignore[attr-defined]
    assert all(torch.equal(initial[name], kept[name]) for name in body)


def test_frozen_features_are_computed_once_for_all_trials(monkeypatch, folder: str, train: Dataset):
    asked = counted(monkeypatch, FeatureEncoder, "_encode")
    who = Enrolled("frozen", Learning("frozen", folder), folder, "features")
    for trial in trials(train, None):
        run_trial(trial, student(who, train.task, None, 8, RUNTIME))
    assert len(asked) == len({row.texts for row in asked}), "a text was encoded twice"
