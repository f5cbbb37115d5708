"""Variants of a set: what a teacher says of its rows, and copies that say nearly the same."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dilm.evaluation.variants import augmented, softened, swapped, thinned
from dilm.types import Dataset, Example, Task

TASK = Task("pairs", ("first", "second"), ("no", "yes"))
WORDS = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=30)


@given(WORDS, st.integers(0, 999))
def test_swapping_keeps_every_word(words: list[str], seed: int):
    text = swapped(" ".join(words), Random(seed))
    assert Counter(text.split()) == Counter(words)


@given(WORDS, st.integers(0, 999))
def test_thinning_leaves_out_words_and_keeps_the_order(words: list[str], seed: int):
    left = thinned(" ".join(words), Random(seed)).split()
    rest = iter(words)
    assert left and all(word in rest for word in left)


def test_thinning_leaves_out_a_tenth_of_the_words():
    text = " ".join(["word"] * 5000)
    assert 440 < 5000 - len(thinned(text, Random(0)).split()) < 560


def test_augmented_sets_hold_the_rows_and_so_many_copies_of_each():
    rows = Dataset(TASK, [Example((f"one two three {at}", "x y"), at % 2) for at in range(6)])
    found = augmented(rows, Random(0), copies=4)
    assert found[:6].examples == rows.examples
    assert len(found) == 30 and found.counts == (15, 15)
    assert all(all(row.texts) for row in found)
    assert found.examples == augmented(rows, Random(0), copies=4).examples
    assert len({row.texts for row in found}) > 15


def test_softened_rows_are_other_rows_with_the_same_texts():
    rows = Dataset(TASK, [Example(("a", "b"), 0), Example(("c", "d"), 1)])
    soft = softened(rows, np.array([[0.25, 0.75], [0.5, 0.5]]))
    assert [row.soft for row in soft] == [(0.25, 0.75), (0.5, 0.5)]
    assert [(row.texts, row.label) for row in soft] == [(row.texts, row.label) for row in rows]
    assert soft.fingerprint != rows.fingerprint
