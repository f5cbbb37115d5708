"""Carving loses no row, keeps the classes' proportions, and never puts a text on both sides."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.data.splits import carve
from dilm.types import Dataset, Example, Task

TASK = Task("t", ("text",), ("a", "b", "c"))

ROWS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=1, max_size=80)
"""(number of the text, class): texts repeat, sometimes with another class."""


def dataset(rows: list[tuple[int, int]]) -> Dataset:
    return Dataset(TASK, [Example((f"text {text}",), label) for text, label in rows])


def distinct(*counts: int) -> Dataset:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return dataset(list(enumerate(labels)))


@given(rows=ROWS, wanted=st.integers(0, 40), seed=st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_two_sides_are_the_whole_and_share_no_text(rows: list[tuple[int, int]], wanted: int, seed: int) -> None:
    whole = dataset(rows)
    rest, carved = carve(whole, wanted, seed)
    assert sorted(map(repr, [*rest, *carved])) == sorted(map(repr, whole))
    assert not {row.texts for row in rest} & {row.texts for row in carved}
    assert (rest.examples, carved.examples) == tuple(side.examples for side in carve(whole, wanted, seed))


@given(counts=st.tuples(*[st.integers(0, 60)] * 3).filter(any), share=st.floats(0.01, 0.5), seed=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_distinct_texts_are_carved_in_proportion(counts: tuple[int, int, int], share: float, seed: int) -> None:
    wanted = max(1, round(share * sum(counts)))
    rest, carved = carve(distinct(*counts), wanted, seed)
    for had, kept, given_up in zip(counts, rest.counts, carved.counts, strict=True):
        assert given_up >= 1 or had < 3
        assert kept >= min(had, 2)
        assert abs(given_up - had * wanted / sum(counts)) <= 2


def test_the_order_of_rows_is_kept() -> None:
    whole = distinct(20, 20)
    for side in carve(whole, 10, 0):
        numbers = [whole.examples.index(row) for row in side]
        assert numbers == sorted(numbers)


def test_exact_number_and_other_rows_for_another_seed() -> None:
    whole = distinct(500, 300, 200)
    one, other = carve(whole, 100, 0)[1], carve(whole, 100, 1)[1]
    assert one.counts == other.counts == (50, 30, 20)
    assert one.fingerprint != other.fingerprint


def test_a_class_of_repeated_texts_still_gives_one() -> None:
    rest, carved = carve(dataset([(0, 0)] * 5 + [(1, 0)] * 4 + [(2, 1)] * 5 + [(3, 1)]), 1, 0)
    assert carved.counts[:2] == (4, 1)
    assert rest.counts[:2] == (5, 5)


def test_nothing_asked_nothing_carved() -> None:
    whole = distinct(5, 5)
    rest, carved = carve(whole, 0, 0)
    assert rest.examples == whole.examples and not len(carved)
