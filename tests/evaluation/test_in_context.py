"""In-context learning: orders that are balanced, prompts that fit, calibration as published, and scores that say so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_talker import train_talker

from dilm.data.tasks import read_task, task_names
from dilm.distilled import Distilled
from dilm.errors import DataError, ModelError
from dilm.evaluation.in_context import CONTENT_FREE, PromptTrial, calibrated, in_context, predict, run_prompt_trial
from dilm.evaluation.prompts import answers, demonstration, few_shot, query, rounds
from dilm.models.scorer import CausalScorer
from dilm.numerics.metrics import accuracy, macro_f1
from dilm.runtime.device import choose
from dilm.types import Dataset, Example, Provenance, Task

LOGS = np.log([[0.6, 0.3], [0.1, 0.2]])


class Told:
    """A scorer that asks another one, remembers the prompts, and adds a leaning to each class."""

    def __init__(self, scorer: CausalScorer, context: int = 512, leaning: Sequence[float] = (0, 0)) -> None:
        self.scorer, self.name, self.context, self.leaning = scorer, "told", context, leaning
        self.prompts: list[str] = []

    def tokens(self, text: str) -> int:
        return self.scorer.tokens(text)

    def score(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        self.prompts += prompts
        return self.scorer.score(prompts, candidates) + np.array(self.leaning)


class Wordy:
    """Answers in words: the label of the last demonstration, or nothing sensible where it has seen none."""

    name, context = "wordy", 10_000

    def tokens(self, text: str) -> int:
        return len(text)

    def score(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        ends = [
            max((prompt.rfind(f"label:{word}"), column) for column, word in enumerate(candidates)) for prompt in prompts
        ]
        rows = [[0.0 if column == last else -math.inf for column in range(len(candidates))] for _, last in ends]
        return np.array([row if at >= 0 else [math.nan] * len(row) for (at, _), row in zip(ends, rows, strict=True)])


@pytest.fixture(scope="module")
def talker(train: Dataset, tmp_path_factory: pytest.TempPathFactory) -> CausalScorer:
    return CausalScorer.open(train_talker(train, tmp_path_factory.mktemp("talker")), choose("cpu", "fp32"))


@pytest.fixture
def trial(train: Dataset) -> PromptTrial:
    return PromptTrial("dilm", "talker", 2, 0, 0, train.take([0, 4, 20, 24]), train, "its weights")


def shown_in(prompt: str) -> list[str]:
    """Labels of the demonstrations of a prompt, in their order."""
    return [line.removeprefix("label: ") for line in prompt.splitlines() if line.startswith("label: ")]


def test_a_prompt_is_the_one_that_a_distilled_set_makes(train: Dataset):
    rows = train.take([0, 20])
    made = Distilled(rows, 1, Provenance("", 0, ""))
    for texts in (("so {so}",), ("{label}",), ("",)):
        assert few_shot(rows.task, rows, texts) == made.prompt(*texts)


@pytest.mark.parametrize("name", task_names())
def test_every_known_task_is_asked_up_to_its_label(name: str):
    page = read_task(name)
    task = Task(name, page.fields, page.labels, kind=page.kind, prompt=page.prompt, target=page.target)
    texts = tuple(f"some {field}" for field in page.fields)
    asked = query(task, texts)
    if task.writes:
        assert asked == asked.rstrip() and all(text in asked for text in texts[:-1]) and texts[-1] not in asked
        assert f"{asked} {texts[-1]}" == demonstration(task, Example(texts, 0))
        return
    assert asked == asked.rstrip() and all(text in asked for text in texts)
    for label, answer in enumerate(answers(task)):
        assert asked + answer == demonstration(task, Example(texts, label))


def test_a_template_must_end_with_its_label(train: Dataset):
    for prompt in ("{text}", "label {label} text {text}"):
        with pytest.raises(DataError, match="name every field"):
            query(replace(train.task, prompt=prompt), ("a",))
    bare = replace(train.task, prompt="[{text}]({label})!")
    assert query(bare, ("a",)) + answers(bare)[0] == "[a](bad"


@given(st.lists(st.integers(0, 2), max_size=30), st.integers(0, 5))
def test_an_order_is_a_shuffle_in_balanced_rounds(labels: list[int], seed: int):
    task = Task("any", ("text",), ("a", "b", "c"))
    rows = Dataset(task, [Example((str(at),), label) for at, label in enumerate(labels)])
    turns = rounds(rows, seed)
    assert sorted(example.texts for turn in turns for example in turn) == sorted(row.texts for row in rows)
    assert turns == rounds(rows, seed)
    for number, turn in enumerate(turns):
        due = [label for label in task.conditions if rows.counts[label] > number]
        assert sorted(example.label for example in turn) == due


def test_seeds_are_other_orders_and_no_class_is_always_last(train: Dataset):
    orders = [[example for turn in rounds(train, seed) for example in turn] for seed in range(8)]
    assert len({tuple(order) for order in orders}) == 8
    assert {order[-1].label for order in orders} == {0, 1}
    assert {turn[-1].label for turn in rounds(train, 0)} == {0, 1}


def test_a_model_that_has_learnt_to_answer_beats_chance(trial: PromptTrial, talker: CausalScorer):
    scores = in_context(replace(trial, seed=5), talker, orders=3)
    assert [score.seed for score in scores] == [5, 6, 7]
    assert min(score.accuracy for score in scores) > 0.9
    assert all(
        (score.method, score.learner, score.per_class, score.rows) == ("dilm", "talker", 2, 4) for score in scores
    )


def test_a_score_is_a_function_of_its_trial(trial: PromptTrial, talker: CausalScorer):
    shorter = replace(trial, content_free=CONTENT_FREE, test=trial.test[::5])
    one, other = (run_prompt_trial(shorter, talker) for _ in range(2))
    assert replace(one, seconds=0) == replace(other, seconds=0) and one.seconds > 0


def test_the_value_is_in_the_metric_of_the_task(train: Dataset, trial: PromptTrial):
    """The last demonstration decides, so all queries of an order get the same answer."""
    test = Dataset(replace(train.task, metric="macro_f1"), train.take([0, 1, 20]).examples)
    score = run_prompt_trial(replace(trial, test=test), Wordy())
    last = [example.label for turn in rounds(trial.rows, 0) for example in turn][-1]
    assert score.accuracy == accuracy([last] * 3, test.labels)
    assert score.value == score.macro_f1 == macro_f1([last] * 3, test.labels, 2)


def test_prompts_hold_every_demonstration_where_there_is_room(trial: PromptTrial, talker: CausalScorer, caplog):
    told = Told(talker)
    predict(told, trial.rows, trial.test[:3], 0)
    assert all(sorted(shown_in(prompt)) == ["bad"] * 2 + ["good"] * 2 for prompt in told.prompts)
    assert [prompt.splitlines()[-2] for prompt in told.prompts] == [f"text: {row.texts[0]}" for row in trial.test[:3]]
    assert not caplog.text


def test_demonstrations_are_cut_to_the_context_and_stay_balanced(train: Dataset, talker: CausalScorer, caplog):
    long = Example(("the plot was dull " * 6,), 0)
    told = Told(talker, context=90)
    predicted = predict(told, train, Dataset(train.task, [*train, long]), 0)
    assert accuracy(predicted[:-1], train.labels) > 0.9
    counts = [shown_in(prompt).count("bad") for prompt in told.prompts]
    assert counts == [shown_in(prompt).count("good") for prompt in told.prompts]
    assert sorted(set(counts)) == [2, 3] and counts.count(2) == 1  # one long query costs the others nothing
    assert all(talker.tokens(prompt + " good") <= 90 for prompt in told.prompts)
    assert "30 to 32 of 36 demonstrations were dropped for 37 of 37 queries" in caplog.text


def test_without_any_room_or_any_rows_the_query_stands_alone(train: Dataset, talker: CausalScorer, caplog):
    for rows, context in ((train, 30), (train[:0], 512)):
        told = Told(talker, context)
        predict(told, rows, train[:2], 0, CONTENT_FREE)
        assert set(told.prompts[:2]) == {query(train.task, row.texts) for row in train[:2]}
    assert "36 to 36 of 36 demonstrations were dropped" in caplog.text


def test_calibration_is_the_published_formula():
    """(2/3, 1/3) and (1/3, 2/3) over the mean of (0.8, 0.2) and (0.4, 0.6)."""
    free = np.log([[0.8, 0.2], [0.2, 0.3]])
    np.testing.assert_allclose(np.exp(calibrated(LOGS, free)), [[2 / 3 / 0.6, 1 / 3 / 0.4], [1 / 3 / 0.6, 2 / 3 / 0.4]])


def test_calibration_of_a_class_that_is_never_likely_stays_finite():
    assert np.isfinite(calibrated(LOGS - [0, 5000], np.array([[0.0, -5000.0]]))).all()


def test_one_content_free_text_takes_any_leaning_away(trial: PromptTrial, talker: CausalScorer):
    several, leaning = trial.test[::4], Told(talker, leaning=(40, 0))
    assert set(predict(leaning, trial.rows, several, 0)) == {0}
    straight = predict(talker, trial.rows, several, 0, ("N/A",))
    assert predict(leaning, trial.rows, several, 0, ("N/A",)) == straight and len(set(straight)) == 2


def test_content_free_texts_follow_the_same_demonstrations(trial: PromptTrial, talker: CausalScorer):
    told = Told(talker)
    predict(told, trial.rows, trial.test[:2], 0, CONTENT_FREE)
    before = {prompt[: prompt.rindex("text: ")] for prompt in told.prompts}
    assert len(before) == 1 and len(told.prompts) == 2 + len(CONTENT_FREE)
    assert [prompt.splitlines()[-2] for prompt in told.prompts[2:]] == ["text: N/A", "text: ", "text: [MASK]"]


def test_what_answers_in_words_cannot_be_calibrated(trial: PromptTrial):
    with pytest.raises(ModelError, match="answers in words"):
        predict(Wordy(), trial.rows, trial.test, 0, CONTENT_FREE)


def test_an_answer_that_names_no_class_is_wrong_and_told(trial: PromptTrial, caplog):
    score = run_prompt_trial(replace(trial, rows=trial.rows[:0]), Wordy())
    assert score.accuracy == score.macro_f1 == 0
    assert "36 of 36 answers name no class" in caplog.text


def test_another_task_is_refused(trial: PromptTrial):
    other = Dataset(replace(trial.test.task, labels=("good", "bad")), trial.test.examples)
    with pytest.raises(DataError, match="Show examples of the task"):
        run_prompt_trial(replace(trial, test=other), Wordy())


def test_a_trial_is_known_by_whatever_could_change_its_score(trial: PromptTrial):
    named = replace(trial, method="mine", set=7, per_class=9, learner="other")
    assert named.key == trial.key
    task = trial.test.task
    others = [
        replace(trial, rows=trial.rows[::-1]),
        replace(trial, test=trial.test[:-1]),
        replace(trial, test=Dataset(replace(task, prompt="{text} {label}"), trial.test.examples)),
        replace(trial, test=Dataset(replace(task, metric="macro_f1"), trial.test.examples)),
        replace(trial, content_free=CONTENT_FREE),
        replace(trial, seed=1),
        replace(trial, identity="other weights"),
    ]
    assert len({trial.key, *(other.key for other in others)}) == len(others) + 1
