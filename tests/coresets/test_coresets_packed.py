"""Several texts in one example: nothing is lost, doubled or mixed, and who shares an example is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plane import TASK, Plane, cloud

from dilm.coresets.herding import Herding
from dilm.coresets.packed import Packed, join
from dilm.coresets.random import Random
from dilm.types import Dataset, Example, Task


@settings(max_examples=40, deadline=None)
@given(texts=st.integers(1, 4), per_class=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_chosen_row_stands_in_one_example_of_its_class(texts: int, per_class: int, seed: int):
    pool = cloud(40)
    rows = Packed(Random(), texts)(pool, per_class, np.random.default_rng(seed)).apply(pool)
    made = join(rows, texts)
    assert made.counts == (per_class, per_class)
    for label in TASK.conditions:
        parts = [part for row in made.of(label) for part in row.texts[0].split(". ")]
        assert parts == [row.texts[0] for row in rows.of(label)]
        assert len(set(parts)) == per_class * texts


@given(seed=st.integers(0, 99))
def test_with_one_text_each_it_is_the_choice_itself(seed: int):
    pool = cloud(20)
    plain = Random()(pool, 3, np.random.default_rng(seed))
    assert Packed(Random(), 1)(pool, 3, np.random.default_rng(seed)) == plain
    assert join(plain.apply(pool), 1).examples == plain.apply(pool).examples


def test_who_shares_an_example_is_drawn_also_where_the_choice_is_not():
    pool, herding = cloud(40), Herding(Plane())
    assert Packed(herding, 2).varies and not Packed(herding, 1).varies
    one, other = (Packed(herding, 2)(pool, 4, np.random.default_rng(seed)) for seed in (0, 1))
    assert set(one.positions) == set(other.positions) == set(herding(pool, 8, np.random.default_rng(0)).positions)
    assert one != other


def test_fields_are_joined_each_by_itself():
    pair = Task("pairs", ("first", "second"), ("no", "yes"))
    rows = [Example(("a cat", "an animal!"), 1), Example(("Who? ", "it rains"), 1)]
    (made,) = join(Dataset(pair, rows), 2)
    assert made == Example(("a cat. Who? ", "an animal! it rains"), 1)


def test_rows_of_two_classes_are_not_joined():
    with pytest.raises(ValueError, match="too many values"):
        join(Dataset(TASK, [Example(("1 2",), 0), Example(("2 1",), 1)]), 2)
