"""The index finds what comparing all pairs finds, and says nothing of the real rows but where they are."""

from __future__ import annotations

import random
import time
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.errors import DataError
from dilm.evaluation.contamination import Likeness, Overlap, compare, contamination
from dilm.numerics.words import jaccard, ngrams, shingles
from dilm.types import Dataset, Example, Task

TASK = Task("films", ("text",), ("bad", "good"))
any_texts = st.lists(st.lists(st.sampled_from("abc"), max_size=9).map(" ".join), min_size=1, max_size=6)


def rows(*texts: str) -> Dataset:
    return Dataset(TASK, [Example((text,), 0) for text in texts])


def longest_run(ours: list[str], theirs: list[str]) -> int:
    """By the plain dynamic programme."""
    best, before = 0, [0] * (len(theirs) + 1)
    for word in ours:
        now = [0] * (len(theirs) + 1)
        for at, other in enumerate(theirs):
            now[at + 1] = before[at] + 1 if word == other else 0
        best, before = max(best, *now), now
    return best


def first(values: list[float]) -> int | None:
    """Position of the largest, unless all are 0."""
    return values.index(max(values)) if max(values) else None


def overlap(text: list[str], real: list[list[str]], n: int) -> Overlap | None:
    own = set(ngrams(text, n))
    if not own:
        return None
    shares = [len(own & set(ngrams(row, n))) / len(own) for row in real]
    anywhere = len(own & {gram for row in real for gram in ngrams(row, n)}) / len(own)
    return Overlap(max(shares), first(shares), anywhere)


def by_force(position: int, text: list[str], real: list[list[str]]) -> Likeness:
    runs = [longest_run(text, row) for row in real]
    alike = [jaccard(shingles(text), shingles(row)) for row in real]
    return Likeness(
        position,
        overlap(text, real, 1),
        overlap(text, real, 5),
        max(runs),
        first(runs),
        copies=tuple(at for at, row in enumerate(real) if row == text),
        near=tuple(at for at, row in enumerate(real) if row != text and alike[at] >= 0.7),
    )


@given(any_texts, any_texts)
@settings(max_examples=150, deadline=None)
def test_the_index_finds_what_all_pairs_find(ours, theirs):
    found = compare(rows(*ours), rows(*theirs)).texts
    real = [text.split() for text in theirs]
    assert found == tuple(by_force(position, text.split(), real) for position, text in enumerate(ours))


@given(any_texts, any_texts, st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_small_blocks_change_nothing(ours, theirs, block):
    from dilm.numerics import overlap as index

    whole = compare(rows(*ours), rows(*theirs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "CELLS", block)
        assert compare(rows(*ours), rows(*theirs)) == whole


@given(any_texts, st.data())
@settings(max_examples=50, deadline=None)
def test_a_copied_row_is_found_where_it_stands(real, data):
    row = data.draw(st.integers(0, len(real) - 1))
    found = compare(rows(real[row].upper() + " !"), rows(*real))
    text = found.texts[0]
    if real[row]:
        assert row in text.copies and found.copied == 1 and found.near == 0
        assert text.words.largest == text.words.anywhere == found.largest_overlap == 1
        assert text.run == found.longest_run == len(real[row].split())
        assert text.run_row <= row and text.words.row <= row


@given(any_texts, any_texts, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_of_real_rows_changes_nothing_but_positions(ours, theirs, order):
    shuffled = order.sample(theirs, len(theirs))
    there, back = compare(rows(*ours), rows(*theirs)), compare(rows(*ours), rows(*shuffled))
    assert [text.run for text in there.texts] == [text.run for text in back.texts]
    assert [len(text.near) for text in there.texts] == [len(text.near) for text in back.texts]
    totals = ("real", "mean_overlap", "largest_overlap", "high_overlap", "longest_run", "copied", "near")
    assert [getattr(there, name) for name in totals] == [getattr(back, name) for name in totals]


def test_a_changed_word_leaves_a_near_duplicate_and_a_shorter_run():
    real = "the plot was thin but the cast saved the film from its own worst ideas in the end"
    found = compare(rows(real.replace("end", "finale")), rows("nothing of the kind", real))
    assert (found.texts[0].near, found.texts[0].copies, found.near, found.copied) == ((1,), (), 1, 0)
    assert (found.texts[0].run, found.texts[0].run_row) == (17, 1)
    assert found.texts[0].words == Overlap(14 / 15, 1, 14 / 15)


def test_words_of_several_rows_count_together_only_anywhere():
    (text,) = compare(rows("warm and slow"), rows("warm", "slow", "warm slow", "and")).texts
    assert text.words == Overlap(2 / 3, 2, 1.0)


def test_totals_are_those_of_condenselm():
    found = compare(rows("a b c d e", "a b c d", ""), rows("a b x y"))
    assert [text.words and text.words.largest for text in found.texts] == [0.4, 0.5, None]
    assert (found.mean_overlap, found.largest_overlap, found.high_overlap) == (pytest.approx(0.45), 0.5, 0.5)


def test_fields_are_joined_in_reading_order():
    pair = Dataset(Task("pairs", ("a", "b"), ("no", "yes")), [Example(("is it good", "it is good"), 1)])
    assert compare(pair, rows("good it is")).texts[0].run == 3
    assert compare(pair, rows("is it good? It is good.")).copied == 1


def test_train_and_test_are_told_apart():
    found = contamination(rows("a b c"), rows("x"), rows("a b c", "y"))
    assert (found.train.copied, found.train.real, found.test.copied, found.test.real) == (0, 1, 1, 2)
    assert found.train.texts[0] == Likeness(0, Overlap(0.0, None, 0.0), None, 0, None, (), ())


def test_no_text_of_real_rows_is_kept():
    found = contamination(rows("a secret was kept"), rows("the secret was told"), rows("a secret"))
    assert "secret" not in str(asdict(found))


def test_nothing_cannot_be_compared():
    with pytest.raises(DataError, match="no rows to compare"):
        compare(rows(), rows("a"))
    with pytest.raises(DataError, match="no rows to compare"):
        compare(rows("a"), rows())


def test_ten_thousand_rows_take_a_few_seconds():
    rng = random.Random(0)
    vocabulary = [f"w{number}" for number in range(3000)]
    often = [1 / (rank + 1) for rank in range(3000)]  # as in a language
    texts = [" ".join(rng.choices(vocabulary, often, k=20)) for _ in range(10_000)]
    real, synthetic = (
        rows(*texts),
        rows(*texts[:20], *(" ".join(rng.choices(vocabulary, often, k=20)) for _ in range(180))),
    )
    begin = time.process_time()
    assert compare(synthetic, real).copied == 20
    assert time.process_time() - begin < 6
