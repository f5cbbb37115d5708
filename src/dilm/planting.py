"""From the recipe's `audit.canaries` to rows among the train rows, and to what the audit must know of them.

They are drawn from the train rows alone and put behind them, so that without them everything is what it was, and no
other split has one. Which are in is decided by coins of their own stream: how many are is known without the rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dilm.privacy.canaries import Canaries, draw, tosses
from dilm.recipe import Recipe
from dilm.runtime.seeding import python_stream
from dilm.types import Dataset, Splits, Task


def content(recipe: Recipe) -> list[Any]:
    """What a stage key says of it: nothing where there are none."""
    return [{"canaries": recipe.audit.canaries}] if recipe.audit.canaries else []


def plant(recipe: Recipe, splits: Splits) -> Splits:
    """The splits with canaries among the train rows, behind the others."""
    if not recipe.audit.canaries:
        return splits
    inserted = _drawn(recipe, splits.train).inserted
    return replace(splits, train=Dataset(splits.task, (*splits.train, *inserted)))


def real_rows(recipe: Recipe, train: Dataset) -> Dataset:
    """The train rows without canaries, of a split that `plant` made."""
    inserted = sum(_tosses(recipe, train.task))
    return train.take(range(len(train) - inserted)) if inserted else train


def canaries(recipe: Recipe, train: Dataset) -> Canaries | None:
    """Those of a train split that `plant` made, in and out; None where there are none."""
    return _drawn(recipe, real_rows(recipe, train)) if recipe.audit.canaries else None


def _drawn(recipe: Recipe, train: Dataset) -> Canaries:
    streams = (python_stream(recipe.data_seed, "canaries", name) for name in ("words", "coins"))
    return draw(train, recipe.audit.canaries, *streams)


def _tosses(recipe: Recipe, task: Task) -> tuple[bool, ...]:
    return tosses(recipe.audit.canaries * len(task.labels), python_stream(recipe.data_seed, "canaries", "coins"))
