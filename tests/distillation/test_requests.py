"""Requests show what is to be rewritten, and answers give every field once or are dropped and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilm.distillation.rewriting import Rewriting, read, requests, rewrite
from dilm.types import Dataset, Draft, Example, Task

FILMS = Task("films", ("text",), ("bad", "good"))
PAIRS = Task("pairs", ("premise", "hypothesis"), ("no", "yes"))
POOL = Dataset(FILMS, [Example((f"text {at} of {label}",), label) for label in (0, 1) for at in range(4)])
BOTH = Rewriting("anew {label}: {text} as {form}", "one of {label}: {texts}", 2, 0.5, 7)

WORDS = st.text("abcdefg é,.!?", min_size=1, max_size=30).filter(lambda text: any(map(str.isalnum, text)))


class Assistant:
    """Answers by a rule."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        self.rule = rule
        self.asked: list[str] = []

    def answer(self, requests: Sequence[str], tokens: int, temperature: float, seed: int) -> list[Draft]:
        assert (temperature, seed) == (0.5, 7) and tokens >= 64
        self.asked += requests
        return [Draft((self.rule(request),), "unending" not in request) for request in requests]


@given(texts=st.tuples(WORDS, WORDS), before=st.sampled_from(["", "Sure, here it is:\n\n"]))
def test_what_stands_in_the_form_that_is_asked_for_is_read(texts: tuple[str, str], before: str):
    said = f"{before}premise: {texts[0]}\nhypothesis: {texts[1]}\n\nShall I go on?"
    assert read(Draft((said,), True), PAIRS).texts == tuple(" ".join(text.split()) for text in texts)


@pytest.mark.parametrize(
    ("said", "texts"),
    [
        ('**Premise:** *a cat*\n**Hypothesis**: "an animal"', ("a cat", "an animal")),
        ("hypothesis: an animal\nPREMISE: a cat\nwith a hat", ("a cat with a hat", "an animal")),
        ("1. premise:\n\na cat\n\n2. hypothesis: an animal", ("a cat", "an animal")),
        ("premise: a cat", ()),
        ("premise: a cat\nhypothesis: an animal\npremise: a dog\nhypothesis: a pet", ()),
        ("I'm sorry, but I can't help with that.", ()),
        ("", ()),
        ("premise: ...\nhypothesis: an animal", ("", "an animal")),
    ],
)
def test_answers_as_models_give_them(said: str, texts: tuple[str, ...]):
    assert read(Draft((said,), True), PAIRS).texts == texts


def test_an_answer_without_the_form_is_no_text_of_one_field():
    """It may be a refusal."""
    assert read(Draft(("I'm sorry, but I can't help with that.",), True), FILMS).texts == ()


def test_what_no_file_could_hold_gives_way():
    assert read(Draft(("text: a \ud800 film",), True), FILMS).texts == ("a ? film",)


def test_requests_show_first_texts_alone_and_all_of_them_in_pairs():
    said = requests(BOTH, POOL, 1)
    assert said == [
        "anew good: \n\ntext: text 0 of 1\n\n as \n\ntext: ...",
        "anew good: \n\ntext: text 1 of 1\n\n as \n\ntext: ...",
        "one of good: \n\ntext: text 0 of 1\n\ntext: text 1 of 1\n\n",
        "one of good: \n\ntext: text 2 of 1\n\ntext: text 3 of 1\n\n",
    ]
    assert BOTH.needed == 4 and Rewriting("x {text}", "", 2, 0.5, 7).needed == 2


def test_names_in_a_text_are_not_filled_in():
    pool = Dataset(FILMS, [Example(("say {label} and {texts}",), 0), Example(("so",), 1)])
    assert requests(Rewriting("{label}: {text}", "", 1, 0.5, 7), pool, 0) == [
        "bad: \n\ntext: say {label} and {texts}\n\n"
    ]


def test_what_is_no_new_text_is_dropped_and_counted():
    """Answers in turn: new, of the pool (of the other class, too), again the same, malformed."""
    answers = iter(["text: new one", "text: text 3 of 1", "text: new one", "no form", *["text: flagged one"] * 4])
    found, verdicts = rewrite(Assistant(lambda _: next(answers)), BOTH, POOL, POOL, lambda texts: "flagged" in texts[0])
    assert [(row.texts, row.label) for row in found] == [(("new one",), 0)]
    assert verdicts == {"kept": 1, "duplicate": 2, "malformed": 1, "flagged": 4}


def test_what_was_cut_off_is_dropped():
    pool = Dataset(FILMS, [Example(("unending",), 0), Example(("fine",), 1)])
    only = Rewriting("anew: {text}", "", 1, 0.5, 7)
    found, verdicts = rewrite(Assistant(lambda request: f"text: x{len(request)}"), only, pool, pool)
    assert [row.label for row in found] == [1] and verdicts == {"too long": 1, "kept": 1}


def test_the_classes_of_answers_are_those_of_what_was_shown():
    assistant = Assistant(lambda request: f"text: {' '.join(request.replace('text: ', '').split())} anew")
    found, verdicts = rewrite(assistant, BOTH, POOL, POOL)
    assert len(assistant.asked) == 8 and verdicts == {"kept": 8}
    assert [row.label for row in found] == [0] * 4 + [1] * 4
    assert all((f"of {row.label}" in row.texts[0]) for row in found)
