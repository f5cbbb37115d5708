"""Trials are known by their content: equal keys are equal scores, and whatever could change a score changes the key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dilm.evaluation.finetune import Finetuned
from dilm.evaluation.trials import Trial, arms, once_each, run_trial
from dilm.models.classifier import Classifier
from dilm.numerics.metrics import accuracy, macro_f1
from dilm.runtime.optimize import Schedule
from dilm.types import Dataset, Example, Score

Learners = Callable[[], Classifier]
SCHEDULE = Schedule(15, 1e-2)


@pytest.fixture
def trial(train: Dataset) -> Trial:
    rows = train.take([0, 4, 8, 18, 22, 26])
    return Trial("dilm", "tiny", 3, 0, 0, rows, train, SCHEDULE, batch=8, identity="body")


def with_task(rows: Dataset, **changes: object) -> Dataset:
    return Dataset(replace(rows.task, **changes), rows.examples)


def measured(trial: Trial, learner: Classifier) -> Score:
    assert trial.schedule
    return run_trial(trial, Finetuned(learner, trial.schedule, trial.batch))


def test_the_same_trial_has_the_same_score(trial: Trial, new_learner: Learners):
    learner = new_learner()
    first, again = measured(trial, learner), measured(trial, learner)
    assert replace(first, seconds=0) == replace(again, seconds=0) == replace(measured(trial, new_learner()), seconds=0)


def test_a_score_says_what_was_measured(trial: Trial, new_learner: Learners):
    learner = new_learner()
    score = measured(trial, learner)
    predicted, truth = learner.predict(trial.test), trial.test.labels
    assert score.accuracy == score.value == accuracy(predicted, truth)
    assert score.macro_f1 == macro_f1(predicted, truth, 2)
    assert (score.method, score.learner, score.per_class, score.set, score.seed) == ("dilm", "tiny", 3, 0, 0)
    assert score.rows == 6 and score.seconds > 0 and score.split == "test"


def test_the_value_is_in_the_metric_of_the_task(trial: Trial, new_learner: Learners):
    score = measured(replace(trial, test=with_task(trial.test, metric="macro_f1")), new_learner())
    assert score.value == score.macro_f1


def test_names_do_not_make_a_trial_another(trial: Trial):
    copied = Dataset(trial.rows.task, list(trial.rows))
    assert replace(trial, method="mine", set=7, per_class=9, learner="other", rows=copied).key == trial.key


def test_whatever_could_change_a_score_changes_the_key(trial: Trial):
    flipped = Dataset(trial.rows.task, [Example(row.texts, 1 - row.label) for row in trial.rows])
    others = [
        replace(trial, rows=trial.rows[::-1]),
        replace(trial, rows=flipped),
        replace(trial, test=trial.test[:-1]),
        replace(trial, schedule=replace(SCHEDULE, warmup=0.2)),
        replace(trial, schedule=replace(SCHEDULE, lr=2e-2)),
        replace(trial, schedule=None),
        replace(trial, batch=4),
        replace(trial, seed=1),
        replace(trial, identity="another body"),
        replace(trial, test=with_task(trial.test, max_tokens=4)),
        replace(trial, test=with_task(trial.test, metric="macro_f1")),
    ]
    assert len({trial.key, *(other.key for other in others)}) == len(others) + 1


def test_the_seed_matters(trial: Trial, new_learner: Learners):
    learner = new_learner()
    hard = replace(trial, schedule=Schedule(2, 1e-4))
    assert len({measured(replace(hard, seed=seed), learner).value for seed in range(6)}) > 1


def test_a_method_with_one_set_is_trained_as_often_as_the_others(train: Dataset):
    one, other = train[:2], train[2:4]
    planned = list(arms({"dilm": [one, other, one], "herding": [one]}, seeds=2))
    assert [plan[:3] for plan in planned if plan[0] == "dilm"] == [
        ("dilm", number, 2 * number + repeat) for number in range(3) for repeat in range(2)
    ]
    assert [plan[:3] for plan in planned if plan[0] == "herding"] == [("herding", 0, seed) for seed in range(6)]
    assert list(arms({}, seeds=3)) == []


def test_what_draws_nothing_is_trained_once_on_each_set(train: Dataset):
    one, other = train[:2], train[2:4]
    planned = list(once_each({"dilm": [one, other], "herding": [one]}))
    assert [plan[:3] for plan in planned] == [("dilm", 0, 0), ("dilm", 1, 0), ("herding", 0, 0)]
    assert [plan[3] for plan in planned] == [one, other, one]
