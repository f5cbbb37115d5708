"""The pool: what is rejected and why, exactly as many distinct texts as asked for, or an error that counts."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.distillation.generate import Pool, is_well_formed, judge, write_pool
from dilm.errors import ModelError
from dilm.types import Draft, Task

TASK = Task("films", ("text",), ("bad", "good"))
PAIRS = Task("pairs", ("first", "second"), ("no", "yes"))

VERDICTS = [
    (TASK, Draft(("fine",), True), "kept"),
    (TASK, Draft(("fine",), False), "too long"),
    (TASK, Draft(("fine", "more"), True), "malformed"),
    (TASK, Draft((), True), "malformed"),
    (TASK, Draft(("",), True), "empty"),
    (TASK, Draft(("",), False), "too long"),
    (PAIRS, Draft(("one", "two"), True), "kept"),
    (PAIRS, Draft(("one",), True), "malformed"),
    (PAIRS, Draft(("one", "two", "three"), True), "malformed"),
    (PAIRS, Draft(("", "two"), True), "empty"),
    (PAIRS, Draft(("one", ""), True), "empty"),
    (PAIRS, Draft(("one", "one"), True), "kept"),
]


@pytest.mark.parametrize(("task", "draft", "verdict"), VERDICTS)
def test_verdicts(task: Task, draft: Draft, verdict: str):
    assert judge(draft, task) == verdict
    assert is_well_formed(draft, task) == (verdict == "kept")
    pool = Pool(task, 1)
    pool.add(draft)
    assert pool.verdicts == {verdict: 1}
    assert [(example.texts, example.label) for example in pool.examples] == [(draft.texts, 1)] * (verdict == "kept")


def test_a_text_is_kept_once_and_counted_each_time():
    pool = Pool(TASK, 0)
    for text in ("a", "b", "a", "a"):
        pool.add(Draft((text,), True))
    assert pool.verdicts == {"kept": 2, "duplicate": 2}
    assert [example.texts[0] for example in pool.examples] == ["a", "b"]


class Writer:
    """A generator that reads its drafts from a list, over and over, for each class."""

    def __init__(self, drafts: list[Draft], task: Task = TASK) -> None:
        self.task = task
        self.lines = {condition: itertools.cycle(drafts) for condition in task.conditions}
        self.asked: Counter[int] = Counter()

    def sample(self, condition: int, n: int, rng: torch.Generator) -> list[Draft]:
        self.asked[condition] += n
        return list(itertools.islice(self.lines[condition], n))


def drafts(good: int, *bad: Draft) -> list[Draft]:
    return [*(Draft((f"text {number}",), True) for number in range(good)), *bad]


def ignore(steps: int) -> None:
    """An observer of progress that has seen enough."""


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(
        st.builds(Draft, st.tuples(st.sampled_from(["", *"abcdefgh"])), st.sampled_from([True, True, True, False])),
        min_size=1,
        max_size=60,
    ),
    wanted=st.integers(1, 8),
)
def test_a_pool_is_full_of_distinct_texts_or_an_error(lines: list[Draft], wanted: int):
    possible = {draft.texts for draft in lines if draft.finished and draft.texts[0]}
    try:
        pool, verdicts = write_pool(Writer(lines), wanted, 50, torch.Generator(), ignore)
    except ModelError:
        assert len(possible) < wanted
        return
    assert pool.counts == (wanted, wanted)
    assert pool.labels == [0] * wanted + [1] * wanted
    for label in (0, 1):
        texts = [example.texts for example in pool.of(label)]
        assert len(set(texts)) == wanted and set(texts) <= possible
    assert verdicts["kept"] == 2 * wanted


def test_verdicts_count_every_draft_that_was_looked_at():
    lines = [Draft(("a",), True), Draft(("b",), False), Draft(("a",), True), Draft(("",), True), Draft(("c",), True)]
    _, verdicts = write_pool(Writer(lines), 2, 4, torch.Generator(), ignore)
    assert verdicts == {"kept": 4, "too long": 2, "duplicate": 2, "empty": 2}


def test_a_flagged_text_is_counted_and_never_kept():
    lines = [Draft(("call 5550199",), True), *drafts(4), Draft(("call 5550199",), True), Draft(("",), True)]
    asked: list[tuple[str, ...]] = []

    def flags(texts: tuple[str, ...]) -> bool:
        asked.append(texts)
        return "5550199" in texts[0]

    pool, verdicts = write_pool(Writer(lines), 4, 4, torch.Generator(), ignore, flags)
    assert {example.texts[0] for example in pool} == {"text 0", "text 1", "text 2", "text 3"}
    assert verdicts == {"kept": 8, "flagged": 2} and len(asked) == 10
    with pytest.raises(ModelError, match=r"(?s)flagged.*anonymize\.kinds"):
        write_pool(Writer(lines), 4, 4, torch.Generator(), ignore, lambda texts: True)


def test_progress_adds_up_to_the_pool():
    steps: list[int] = []
    write_pool(Writer(drafts(90, *[Draft(("x",), False)] * 30)), 80, 4, torch.Generator(), steps.append)
    assert sum(steps) == 160 and min(steps) >= 0


def test_a_pool_that_cannot_be_filled_is_an_error_with_counts():
    writer = Writer(drafts(3, Draft(("x",), False), Draft(("",), True), Draft(("a", "b"), True)))
    with pytest.raises(ModelError) as told:
        write_pool(writer, 10, 4, torch.Generator(), ignore)
    problem = told.value.problem
    assert "3 good texts of class 'bad', not 10" in problem
    looked = writer.asked[0]
    assert f"in {looked} attempts" in problem
    for reason in ("duplicate", "too long", "empty", "malformed"):
        assert f" {reason}" in problem
    assert "generate.oversample" in told.value.remedy and "fit.steps" in told.value.remedy
    assert 1 not in writer.asked


def test_giving_up_comes_after_the_attempts_that_were_granted():
    writer = Writer([Draft(("x",), False)])
    with pytest.raises(ModelError):
        write_pool(writer, 100, 5, torch.Generator(), ignore)
    assert 400 < writer.asked[0] <= 500


def test_the_stream_decides():
    class Roller(Writer):
        def sample(self, condition: int, n: int, rng: torch.Generator) -> list[Draft]:
            return [Draft((str(number),), True) for number in torch.randint(10**9, (n,), generator=rng).tolist()]

    def texts(seed: int) -> list[tuple[str, ...]]:
        rng = torch.Generator().manual_seed(seed)
        return [example.texts for example in write_pool(Roller([]), 5, 4, rng, ignore)[0]]

    assert texts(0) == texts(0) != texts(1)
    assert len(set(texts(0))) == 10
