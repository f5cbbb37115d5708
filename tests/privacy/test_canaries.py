"""Canaries begin like rows of their class, end as nothing else does, and are in by the toss of a coin."""

from __future__ import annotations

from random import Random

import pytest

from dilm import planting
from dilm.errors import DataError, RecipeError
from dilm.pipeline import NAMES, keys
from dilm.privacy.canaries import BEGINNING, END, draw, tosses
from dilm.recipe import Recipe, book
from dilm.types import Dataset, Example, Splits, Task

PAIRS = Task("pairs", ("one", "other"), ("no", "yes"), max_tokens=64)


@pytest.fixture
def rows() -> Dataset:
    words = [f"word{at}" for at in range(60)]
    return Dataset(
        PAIRS, [Example((" ".join(Random(at).choices(words, k=9)), f"other {at}"), at % 2) for at in range(50)]
    )


def test_they_begin_like_real_rows_and_their_ends_are_their_own(rows: Dataset):
    made = draw(rows, 20, Random(1), Random(2))
    assert [row.label for row in made.rows] == [0] * 20 + [1] * 20
    begins = {(tuple(row.texts[0].split()[:BEGINNING]), row.texts[1], row.label) for row in rows}
    for row in made.rows:
        said = row.texts[0].split()
        assert len(said) == BEGINNING + END and (tuple(said[:BEGINNING]), row.texts[1], row.label) in begins
    assert len(set(made.ends)) == 40 and all(end not in row.texts[0] for end in made.ends for row in rows)
    assert made.inserted == tuple(row for row, inside in zip(made.rows, made.inside, strict=True) if inside)


def test_about_half_are_in_and_each_has_a_coin_of_its_own():
    assert 430 < sum(tosses(1000, Random(3))) < 570
    assert tosses(10, Random(3)) == tosses(1000, Random(3))[:10]


def test_too_few_words_make_no_canaries():
    few = Dataset(PAIRS, [Example(("a b", "c"), at % 2) for at in range(9)])
    with pytest.raises(DataError, match="different ones"):
        draw(few, 3, Random(0), Random(0))


def planted(count: int, seed: int = 0) -> Recipe:
    return book.override(Recipe(), {"audit.canaries": count, "seed": seed})


def test_they_stand_behind_the_train_rows_and_nowhere_else(rows: Dataset):
    splits = Splits(rows.take(range(30)), rows.take(range(30, 40)), rows.take(range(40, 50)))
    assert planting.plant(planted(0), splits) is splits and planting.canaries(planted(0), splits.train) is None
    recipe = planted(15)
    found = planting.plant(recipe, splits)
    assert (found.dev, found.test) == (splits.dev, splits.test)
    assert found.train.examples[:30] == splits.train.examples
    known = planting.canaries(recipe, found.train)
    assert known and found.train.examples[30:] == known.inserted and len(known.rows) == 30
    assert planting.real_rows(recipe, found.train).fingerprint == splits.train.fingerprint
    assert planting.plant(recipe, splits).train.fingerprint == found.train.fingerprint, "drawn again, the same"
    assert planting.plant(planted(15, seed=1), splits).train.fingerprint != found.train.fingerprint


def test_they_stand_in_the_key_of_all_that_meets_them_and_without_them_nothing_does():
    none, some = keys(Recipe()), keys(planted(5))
    assert {name for name in NAMES if none[name] != some[name]} == set(NAMES)
    other = keys(book.override(Recipe(), {"audit.span": 9}))
    assert {name for name in NAMES if none[name] != other[name]} == {"audit", "report"}


def test_real_rows_are_not_released_where_some_are_made_up():
    with pytest.raises(RecipeError, match="made-up ones"):
        book.check(book.override(planted(5), {"select.pool": "both"}))
