"""Mini-batches as a function of the step: epochs of shuffled row numbers, stateless: any step can come first."""

from __future__ import annotations

from functools import lru_cache

from dilm.runtime.seeding import python_stream


@lru_cache(maxsize=8)
def order(count: int, epoch: int, seed: int) -> tuple[int, ...]:
    """A shuffle of `range(count)` for one epoch."""
    numbers = list(range(count))
    python_stream(seed, "order", epoch).shuffle(numbers)
    return tuple(numbers)


def rows_of_step(count: int, step: int, size: int, seed: int) -> tuple[int, ...]:
    """Row numbers of optimisation step `step`: epoch after epoch without replacement, the short last batch dropped.

    A dataset smaller than `size` is one batch, shuffled anew at each step.

    >>> sorted(rows_of_step(4, 0, 2, 0) + rows_of_step(4, 1, 2, 0))
    [0, 1, 2, 3]
    """
    per_epoch = max(count // size, 1)
    epoch, place = divmod(step, per_epoch)
    return order(count, epoch, seed)[place * size : (place + 1) * size]
