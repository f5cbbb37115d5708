"""Filters take out what they name and the worst of it first, and leave no class with fewer rows than are wanted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plane import TASK, Plane, cloud, pool_of, probed

from dilm.coresets.filtered import Filtered, Tally
from dilm.coresets.filters import (
    Agreeing,
    Covered,
    Filter,
    LongEnough,
    Surest,
    TellingPairs,
    Unrepetitive,
    repetition,
)
from dilm.coresets.random import Random
from dilm.errors import DataError, RecipeError
from dilm.types import Dataset, Example, Task

PAIRS = Task("questions", ("one", "other"), ("different", "same"))


def places(pool: Dataset) -> np.ndarray:
    """x of every row: a teacher who finds "odd" the likelier the larger it is."""
    odd = 1 / (1 + np.exp(-Plane().encode(pool)[:, 0].astype(np.float64)))
    return np.log(np.stack([1 - odd, odd], axis=1))


def line(*xs: float) -> Dataset:
    """Both classes at each of these places."""
    return pool_of(*[(f"{x} {label}", label) for label in (0, 1) for x in xs])


def kept(pool: Dataset, per_class: int, **filters: Filter) -> tuple[Dataset, tuple[Tally, ...]]:
    positions, tallies = Filtered(filters, Random()).kept(pool, per_class)
    assert positions == sorted(set(positions))
    return pool.take(positions), tallies


def xs(pool: Dataset, label: int) -> list[float]:
    return [float(row.texts[0].split()[0]) for row in pool.of(label)]


def test_agreement_keeps_the_rows_on_their_side():
    left, (tally,) = kept(line(-2, -1, 1, 2), 1, agree=Agreeing(places))
    assert (xs(left, 0), xs(left, 1)) == ([-2, -1], [1, 2])
    assert tally == Tally("agree", removed=(2, 2), yielded=(0, 0))


def test_agreement_of_a_probe_takes_out_wrong_labels():
    right = pool_of(*[(f"{side * (1 + step / 9)} {step}", int(side > 0)) for side in (-1, 1) for step in range(9)])
    wrong = pool_of(*[(f"{side * 3} {step}", int(side < 0)) for side in (-1, 1) for step in range(2)])
    probe = probed(right)
    mixed = Dataset(TASK, (*right, *wrong))
    left, _ = kept(mixed, 2, agree=Agreeing(lambda rows: probe.log_probabilities(Plane().encode(rows))))
    assert left.examples == right.examples


@given(lead=st.floats(0.01, 0.99), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_margin_is_a_lead_of_probability(lead: float, seed: int):
    pool = cloud(40, seed)
    shares = np.exp(places(pool))
    own = shares[np.arange(40), pool.labels]
    assert ((Agreeing(places, lead)(pool) <= 0) == (own - (1 - own) >= lead)).all()


@given(share=st.floats(0.01, 1.0), rows=st.integers(2, 40))
@example(share=0.1, rows=30)
@settings(max_examples=25, deadline=None)
def test_the_surest_are_that_share_of_each_class_and_no_others_are_surer(share: float, rows: int):
    pool = cloud(2 * rows)
    faults = Surest(places, share)(pool)
    for label, sign in ((0, -1), (1, 1)):
        at = np.array(pool.where(label))
        passing = faults[at] <= 0
        assert passing.sum() == np.ceil(share * rows - 1e-9)
        sure = sign * Plane().encode(pool)[at, 0]
        assert sure[passing].min() >= sure[~passing].max(initial=-np.inf)


@given(seed=st.integers(0, 99), shift=st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_covered_are_the_rows_whose_own_centre_is_the_nearest(seed: int, shift: float):
    pool, centres = cloud(30, seed), np.array([[-1.0, 0.5], [1.0, -0.5]])
    apart = np.square(Plane().encode(pool)[:, None].astype(np.float64) - centres).sum(2)
    faults = Covered(lambda rows: apart + shift)(pool)
    assert ((faults <= 0) == (apart.argmin(1) == np.array(pool.labels))).all()
    assert faults.min() >= 0 and faults.max() <= np.ptp(apart, axis=1).max() + 1e-9


def test_words_are_counted_over_all_fields():
    rows = [Example(("what is it", "it is"), 0), Example(("what", "why"), 0), Example(("a, b; c", "d - e !"), 1)]
    assert (LongEnough(5)(Dataset(PAIRS, rows)) <= 0).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("text", "share"), [("a b c d", 0.0), ("go go go go go", 0.75), ("it is it is it", 0.5), ("one", 0.0), ("", 0.0)]
)
def test_repetition_is_the_share_of_pairs_that_were_said_before(text: str, share: float):
    assert repetition(tuple(text.split())) == pytest.approx(share)
    assert Unrepetitive(share)(pool_of((text, 0)))[0] <= 0
    assert share == 0 or Unrepetitive(share - 0.01)(pool_of((text, 0)))[0] > 0


def pairs(*rows: tuple[str, str]) -> Dataset:
    return Dataset(PAIRS, [Example(texts, 0) for texts in rows])


def test_pairs_are_out_that_are_equal_or_share_no_word_of_content():
    filler = [(f"what is the {word}", f"is the {word} what it is") for word in ("sea", "sky", "sun", "moon", "rain")]
    asked = [("What is a dog?", "what is a DOG"), ("what is the dog", "what is the cat"), ("is the dog old", "old dog")]
    assert TellingPairs()(pairs(*filler, *asked)).tolist() == [0] * 5 + [2, 1, 0]


def test_a_field_of_common_words_only_is_taken_with_all_of_them():
    rows = pairs(*[("who is it", "who is she")] * 6)
    assert TellingPairs()(rows).tolist() == [0] * 6


def test_pairs_need_two_fields():
    with pytest.raises(RecipeError, match=r"compares two fields, and numbers has 1.*select\.filters"):
        TellingPairs()(cloud(4))


@given(rows=st.integers(3, 30), seed=st.integers(0, 99), data=st.data())
@settings(max_examples=30, deadline=None)
def test_no_class_is_left_with_fewer_rows_than_are_wanted_and_what_stays_is_least_at_fault(rows, seed, data):
    pool = cloud(2 * rows, seed)
    per_class = data.draw(st.integers(1, rows))
    faults = np.random.default_rng(seed).normal(size=2 * rows) + data.draw(st.floats(-2, 3))
    left, (tally,) = kept(pool, per_class, drawn=lambda _: faults)
    for label in TASK.conditions:
        at = np.array(pool.where(label))
        stay = [row for row in at if pool[row] in set(left)]
        passing = [row for row in at if faults[row] <= 0]
        assert len(stay) == max(len(passing), per_class)
        assert set(passing) <= set(stay)
        assert tally.yielded[label] == len(stay) - len(passing) and tally.removed[label] == len(at) - len(stay)
        out = [row for row in at if row not in stay]
        assert not out or faults[stay].max() <= faults[out].min()


def test_every_filter_meets_what_those_before_it_left():
    met: list[int] = []

    def watching(pool: Dataset) -> np.ndarray:
        met.append(len(pool))
        return np.zeros(len(pool))

    left, tallies = kept(line(-3, -2, -1, 1, 2, 3), 1, agree=Agreeing(places), sure=Surest(places, 0.4), seen=watching)
    assert (xs(left, 0), xs(left, 1)) == ([-3, -2], [2, 3])
    assert [tally.removed for tally in tallies] == [(3, 3), (1, 1), (0, 0)] and met == [4]


def test_a_repeated_text_counts_once_and_one_under_two_labels_not_at_all():
    pool = pool_of(("1 0", 0), ("1 0", 0), ("2 0", 0), ("3 0", 0), ("2 0", 1), ("4 0", 1), ("5 0", 1), ("6 0", 1))
    faults = np.array([0, 0, 0, 1, 0, 0, 2, 1])
    left, (tally,) = kept(pool, 2, some=lambda _: faults)
    assert xs(left, 0) == [1, 1, 2, 3] and xs(left, 1) == [2, 4, 6] and tally.yielded == (1, 1)


def test_what_was_removed_and_where_it_yielded_is_told():
    told: list[tuple[Tally, ...]] = []
    select = Filtered({"agree": Agreeing(places)}, Random(), told.append)
    select(pool_of(("-1 0", 0), ("-2 0", 0), ("-3 0", 1), ("1 0", 0), ("2 0", 1)), 2, np.random.default_rng(0))
    assert told == [(Tally("agree", removed=(1, 0), yielded=(0, 1)),)]


def test_a_class_that_is_too_small_is_named_before_any_filter_is_asked():
    with pytest.raises(DataError, match="Class 'odd' has 1 rows"):
        Filtered({"never": lambda pool: pytest.fail("asked")}, Random()).kept(
            pool_of(("0 0", 0), ("1 0", 0), ("2 0", 1)), 2
        )
