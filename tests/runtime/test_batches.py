"""Mini-batches: every epoch is a partition of the rows, and any step can be asked for first."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.runtime.batches import order, rows_of_step

LAWS = settings(max_examples=50, deadline=None)
COUNTS, SIZES, SEEDS = st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**30)


@LAWS
@given(count=COUNTS, size=SIZES, seed=SEEDS, epoch=st.integers(0, 3))
def test_an_epoch_shows_each_row_once_but_for_the_short_last_batch(count: int, size: int, seed: int, epoch: int):
    steps = max(count // size, 1)
    batches = [rows_of_step(count, epoch * steps + step, size, seed) for step in range(steps)]
    shown = [row for batch in batches for row in batch]
    assert len(set(shown)) == len(shown) == min(steps * size, count)
    assert set(shown) <= set(range(count))
    assert {len(batch) for batch in batches} == {min(size, count)}


@LAWS
@given(count=COUNTS, size=SIZES, seed=SEEDS, steps=st.permutations(range(6)))
def test_a_step_is_the_same_whichever_was_asked_for_before(count: int, size: int, seed: int, steps: list[int]):
    order.cache_clear()
    jumping = {step: rows_of_step(count, step, size, seed) for step in steps}
    order.cache_clear()
    assert [rows_of_step(count, step, size, seed) for step in range(6)] == [jumping[step] for step in range(6)]


def test_epochs_and_seeds_are_shuffled_differently():
    assert len({order(30, epoch, seed) for epoch in range(3) for seed in range(3)}) == 9


def test_every_row_has_its_turn_though_the_last_batch_is_dropped():
    shown = {row for step in range(200) for row in rows_of_step(10, step, 4, seed=0)}
    assert shown == set(range(10))


def test_a_small_dataset_is_one_batch_in_a_new_order_at_each_step():
    batches = [rows_of_step(5, step, 64, seed=0) for step in range(10)]
    assert all(sorted(batch) == [0, 1, 2, 3, 4] for batch in batches)
    assert len(set(batches)) > 5
