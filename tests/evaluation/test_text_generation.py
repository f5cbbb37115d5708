"""Measures of what learners write, and trials of texts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dilm.evaluation.text_generation import TextPromptTrial, perplexity, run_text_prompt
from dilm.evaluation.text_metrics import measured, questions
from dilm.types import Dataset, Example, Task

SLOTS = Task("places", ("slots", "text"), ("one",), "perplexity", kind="generation", target="text", answer="slots")
ROWS = [("name[Fox], area[river]", "Fox is by the river ."), ("name[Fox], area[river]", "The river has Fox .")]
NUMBER = Task("sums", ("ask", "say"), ("one",), "perplexity", kind="generation", target="say", answer="number")


def data(task: Task, rows: list[tuple[str, str]]) -> Dataset:
    return Dataset(task, [Example(texts, 0) for texts in rows])


def test_what_equals_a_reference_is_perfect_and_what_shares_nothing_is_not():
    real = questions(data(SLOTS, ROWS))
    (asked,) = real
    perfect = measured(SLOTS, {asked: ROWS[1][1]}, real)
    assert perfect["bleu"] == pytest.approx(1) and perfect["chrf"] == pytest.approx(1)
    assert perfect["slots"] == perfect["real_slots"] == 1
    nothing = measured(SLOTS, {asked: "zzz"}, real)
    assert nothing["chrf"] < 0.1 and nothing["slots"] == 0 and nothing["real_slots"] == 1


def test_a_sum_is_right_where_its_last_number_is():
    real = questions(data(NUMBER, [("a", "1 + 1 #### 2"), ("b", "#### 3")]))
    told = measured(NUMBER, {("a",): "it is #### 2", ("b",): "it is 3"}, real)
    assert told["exact_match"] == 0.5


class Uniform:
    """Every token has one chance in four."""

    name, context = "uniform", 60

    def __init__(self):
        self.seen: list[str] = []

    def tokens(self, text: str) -> int:
        return len(text.split())

    def score(self, prompts: list[str], candidates: list[str]) -> np.ndarray:
        self.seen += prompts
        return np.array([[-math.log(4) * self.tokens(candidate) for candidate in candidates] for _ in prompts])


def test_in_context_perplexity_is_that_of_the_scorer_and_prompts_fit():
    rows, scorer = data(SLOTS, ROWS * 10), Uniform()
    trial = TextPromptTrial("dilm", "uniform", 2, 0, 3, rows, rows, identity="u", answers=5)
    score = run_text_prompt(trial, scorer)
    assert score.value == pytest.approx(4) and score.accuracy is None and score.macro_f1 is None
    assert all(prompt.endswith("text:") and scorer.tokens(prompt) <= scorer.context for prompt in scorer.seen)
    assert any("\n\n" in prompt for prompt in scorer.seen)


def test_perplexity_is_that_of_a_token():
    assert perplexity(2 * math.log(3), 2) == pytest.approx(3) and perplexity(math.inf, 1) > 1e300
