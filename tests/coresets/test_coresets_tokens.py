"""Subsets of equal tokens, and rows by a number of each."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.coresets.equal_tokens import EqualTokens
from dilm.coresets.filters import Answering, Fluent
from dilm.coresets.last import Last
from dilm.coresets.random import Random
from dilm.coresets.ranked import Ranked, hardest, middling
from dilm.types import Dataset, Example, Task

TASK = Task("t", ("ask", "say"), ("one", "two"), kind="generation", target="say", answer="number")


def pool_of(lengths: list[int]) -> Dataset:
    return Dataset(TASK, [Example((f"{at}", "x" * length), at % 2) for at, length in enumerate(lengths)])


def tokens(rows: Dataset) -> list[int]:
    return [len(row.texts[1]) for row in rows]


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=8, max_size=40),
    budget=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    seed=st.integers(0, 99),
)
def test_no_other_number_of_rows_is_nearer_to_the_budget(lengths: list[int], budget: tuple[int, int], seed: int):
    pool, rng = pool_of(lengths), np.random.default_rng(seed)
    chosen = EqualTokens(Random(), tokens, budget)(pool, 2, rng).apply(pool)
    asked = min(pool.counts)  # of the larger class no more rows than the smaller one has can be drawn
    for label, wanted in enumerate(budget):
        kept = tokens(chosen.of(label))
        shortfall = wanted - sum(kept)
        assert len(kept) == 1 or -2 * shortfall <= kept[-1], "without its last row it would be nearer"
        longest = max(tokens(pool.of(label)))
        assert 2 * shortfall <= longest or len(kept) == asked, "with another row it would be nearer"


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=8, max_size=40),
    budget=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    seed=st.integers(0, 99),
)
def test_balanced_classes_have_as_many_rows_and_no_other_number_is_nearer(
    lengths: list[int], budget: tuple[int, int], seed: int
):
    pool, rng = pool_of(lengths), np.random.default_rng(seed)
    chosen = EqualTokens(Random(), tokens, budget, balanced=True)(pool, 2, rng).apply(pool)
    one, other = chosen.counts
    assert one == other
    shortfall = sum(budget) - sum(tokens(chosen))
    last = sum(tokens(chosen.of(label))[-1] for label in (0, 1))
    assert one == 1 or -2 * shortfall <= last, "without its last rows it would be nearer"
    assert 2 * shortfall <= 2 * max(lengths) or one == min(pool.counts), "with other rows it would be nearer"


def test_rows_are_ranked_class_by_class():
    pool = pool_of([5, 1, 9, 2, 7, 3])
    of = {"hard": Ranked(lambda rows: np.array(tokens(rows)), hardest)}
    of["middle"] = Ranked(lambda rows: np.array(tokens(rows)), middling)
    chosen = {name: select(pool, 1, np.random.default_rng(0)).positions for name, select in of.items()}
    assert chosen == {"hard": (2, 5), "middle": (4, 3)}


def test_a_pool_is_measured_once_until_another_comes():
    asked: list[str] = []
    lengths = Last(lambda rows: (asked.append(rows.fingerprint), np.array(tokens(rows)))[1])
    one, other = pool_of([5, 1, 9, 2]), pool_of([1, 5, 2, 9])
    for pool in (one, one, pool_of([5, 1, 9, 2]), other, one):
        assert lengths(pool).tolist() == tokens(pool)
    assert asked == [one.fingerprint, other.fingerprint, one.fingerprint]


def test_fluent_rows_are_the_likeliest_share_of_each_class():
    pool = pool_of([5, 1, 9, 2, 7, 3])
    faults = Fluent(lambda rows: np.array(tokens(rows), dtype=float), 0.4)(pool)
    assert (faults <= 0).tolist() == [True, True, False, True, True, False]


def test_answers_pass_where_they_are_consistent():
    rows = Dataset(TASK, [Example(("q", text), 0) for text in ("#### 3", "three", "<<1+1=3>> #### 3")])
    assert Answering()(rows).tolist() == [0.0, 1.0, 1.0]
