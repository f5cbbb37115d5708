"""Linear heads: they learn what a straight cut can tell, the same whatever the seed, and forget what was before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dilm.errors import ModelError
from dilm.models.linear import FrozenFeatures, WordCounts
from dilm.protocols import Student
from dilm.types import Dataset, Example, Task

TASK = Task("pairs", ("first", "second"), ("no", "yes"))


class Lengths:
    """Points made of the two texts' lengths."""

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        return np.array([[len(text) for text in example.texts] for example in examples], dtype=np.float32)


def rows_of(*rows: tuple[str, str, int]) -> Dataset:
    return Dataset(TASK, [Example((first, second), label) for first, second, label in rows])


ROWS = rows_of(("up", "a b", 0), ("up now", "a c", 0), ("a long way down", "b", 1), ("far far down", "c !", 1))
SWAPPED = Dataset(TASK, [Example(row.texts, 1 - row.label) for row in ROWS])

every_student = pytest.mark.parametrize(
    "make", [lambda: FrozenFeatures(Lengths()), WordCounts], ids=["frozen features", "word counts"]
)


@every_student
def test_what_was_learnt_is_predicted(make: Callable[[], Student]):
    student = make()
    student.train_on(ROWS, 0)
    assert student.predict(ROWS) == ROWS.labels


@every_student
def test_every_seed_gives_the_same_head_and_nothing_is_left_of_earlier_rows(make: Callable[[], Student]):
    student = make()
    student.train_on(SWAPPED, 3)
    assert student.predict(ROWS) == SWAPPED.labels
    student.train_on(ROWS, 7)
    assert student.predict(ROWS) == ROWS.labels


@every_student
def test_soft_labels_are_what_is_learnt(make: Callable[[], Student]):
    sure = Dataset(TASK, [Example(row.texts, row.label, (0.1, 0.9)[:: 2 * row.label - 1]) for row in SWAPPED])
    student = make()
    student.train_on(sure, 0)
    assert sure[0].soft == (0.1, 0.9) and sure[0].label == 1
    assert student.predict(ROWS) == SWAPPED.labels


def test_certain_soft_labels_are_hard_ones():
    hard, soft = FrozenFeatures(Lengths()), FrozenFeatures(Lengths())
    hard.train_on(ROWS, 0)
    certain = [Example(row.texts, row.label, ((1.0, 0.0), (0.0, 1.0))[row.label]) for row in ROWS]
    soft.train_on(Dataset(TASK, certain), 0)
    assert hard._probe is not None and soft._probe is not None
    assert np.allclose(hard._probe.weights, soft._probe.weights, atol=1e-3)


@every_student
def test_nothing_is_predicted_before_anything_is_learnt(make: Callable[[], Student]):
    with pytest.raises(ModelError, match="not learnt anything yet"):
        make().predict(ROWS)


def test_the_same_word_means_different_things_in_different_fields():
    """Which texts are there says nothing here, only in which field."""
    student = WordCounts()
    student.train_on(rows_of(("sun", "rain", 0), ("rain", "sun", 1)), 0)
    assert student.predict(rows_of(("sun", "rain", 0), ("rain", "sun", 1))) == [0, 1]


def test_a_text_without_any_known_word_is_no_trouble():
    student = WordCounts()
    student.train_on(ROWS, 0)
    assert student.predict(rows_of(("xyzzy", "plugh", 0)))[0] in (0, 1)
    student.train_on(rows_of(("1", "?", 0), ("2", "!", 1)), 0)
    assert student.predict(rows_of(("2", "!", 0))) == [1]
