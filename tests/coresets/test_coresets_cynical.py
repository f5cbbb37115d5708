"""Cynical selection: its model of n-grams against the plain formula, and what the chosen set says."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from plane import chosen, pool_of
from scipy.sparse import csr_matrix

from dilm.coresets.cynical import Cynical
from dilm.coresets.random import Random
from dilm.data import toy_slots
from dilm.numerics.cynical import MASS, Model, cynical
from dilm.numerics.words import marks
from dilm.types import Dataset, Example, Task

COUNTS = st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=2, max_size=8)


def plain_entropy(rows: list[list[int]], sizes: list[int], wanted: list[int]) -> float:
    """-sum p log q, with MASS counts shared by all n-grams, written down as it is defined."""
    total = MASS + sum(sizes)
    q = [(MASS / len(wanted) + sum(row[place] for row in rows)) / total for place in range(len(wanted))]
    return -sum(count / sum(wanted) * math.log(share) for count, share in zip(wanted, q, strict=True))


@given(rows=COUNTS, spare=st.integers(0, 3), wanted=st.lists(st.integers(1, 9), min_size=5, max_size=5))
@settings(max_examples=50, deadline=None)
def test_entropies_are_those_of_the_plain_formula(rows, spare, wanted):
    first, *others = rows
    sizes = [sum(row) + spare for row in rows]
    model = Model(np.array(wanted))
    model.add(csr_matrix([first]), sizes[0])
    assert math.isclose(model.entropy, plain_entropy([first], sizes[:1], wanted))
    expected = [
        plain_entropy([first, row], [sizes[0], size], wanted) for row, size in zip(others, sizes[1:], strict=True)
    ]
    np.testing.assert_allclose(model.after(csr_matrix(others), np.array(sizes[1:])), expected)


@given(rows=COUNTS, wanted=st.lists(st.integers(1, 9), min_size=5, max_size=5))
@settings(max_examples=50, deadline=None)
def test_one_row_alone_is_the_best_of_all(rows, wanted):
    sizes = np.array([float(sum(row)) for row in rows])
    [[found]] = cynical(csr_matrix(rows), sizes, np.array(wanted), [np.arange(len(rows))], 1)
    entropies = [plain_entropy([row], [sum(row)], wanted) for row in rows]
    assert math.isclose(entropies[found], min(entropies))


def test_what_one_class_says_another_need_not_repeat():
    real = pool_of(("good fine", 0), ("good fine", 0), ("dull slow", 1), ("dull slow", 1))
    pool = pool_of(("good fine", 0), ("good good fine", 1), ("dull slow", 1))
    assert [row.texts[0] for row in chosen(Cynical(real), pool, 1)] == ["good fine", "dull slow"]


def test_words_that_nobody_wants_cost():
    real = pool_of(("a b", 0), ("a b", 0), ("c d", 1), ("c d", 1))
    pool = pool_of(("a b x y z w", 0), ("a b", 0), ("c d", 1))
    assert chosen(Cynical(real), pool, 1)[0].texts == ("a b",)


def test_of_a_text_to_write_the_target_alone_counts():
    task = Task("t", ("ask", "say"), ("all",), kind="generation", target="say")
    real = Dataset(task, [Example(("p q", "a b"), 0)] * 2)
    pool = Dataset(task, [Example(("p q", "c"), 0), Example(("r", "a b"), 0)])
    assert chosen(Cynical(real), pool, 1)[0].texts == ("r", "a b")


def test_the_set_speaks_more_like_the_real_rows_than_one_drawn_at_random():
    task = Task("t", ("meaning", "text"), ("all",), kind="generation", target="text")
    train = Dataset(task, [replace(row, label=0) for row in toy_slots.places(400, seed=0)])
    wanted = Counter(chain.from_iterable(marks(row.texts[-1]) for row in train))

    def unforeseen(rows: Dataset) -> int:
        said = {mark for row in rows for mark in marks(row.texts[-1])}
        return sum(count for mark, count in wanted.items() if mark not in said)

    drawn = [unforeseen(chosen(Random(), train, 8, seed)) for seed in range(5)]
    assert unforeseen(chosen(Cynical(train), train, 8)) < min(drawn)
