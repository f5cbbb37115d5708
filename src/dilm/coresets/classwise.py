"""What every coreset method shares: one class at a time, each text once, and an error where a class is too small."""

from __future__ import annotations

from collections.abc import Callable, Set

import numpy as np

from dilm.errors import DataError, RecipeError
from dilm.protocols import Encoder
from dilm.types import Dataset, Selection

Choose = Callable[[np.ndarray], np.ndarray]
"""Positions of candidates in the pool [m] -> the numbers of `per_class` of them, counted within those m."""


def class_by_class(pool: Dataset, per_class: int, choose: Choose) -> Selection:
    """Let `choose` keep `per_class` candidates of each class in turn; the only place where row numbers change space."""
    require_rows(pool, per_class)
    kept: list[int] = []
    for label in pool.task.conditions:
        taken = {pool.examples[position].texts for position in kept}
        positions = candidates(pool, label, per_class, taken)
        kept.extend(positions[choose(positions)].tolist())
    return Selection(tuple(kept), pool.fingerprint)


def candidates(pool: Dataset, label: int, per_class: int, taken: Set[tuple[str, ...]]) -> np.ndarray:
    """Positions of a class to choose from, at least `per_class` where the class has as many: [m], ascending.

    A text counts once, however often the class repeats it, and not at all if another class has `taken` it already.
    Repeats come back only to fill up a class that has too few different texts.
    """
    fresh: list[int] = []
    repeats: list[int] = []
    seen = set(taken)
    for position in pool.where(label):
        texts = pool.examples[position].texts
        (repeats if texts in seen else fresh).append(position)
        seen.add(texts)
    missing = max(per_class - len(fresh), 0)
    return np.array(sorted(fresh + repeats[:missing]), dtype=np.int64)


def points_of(encoder: Encoder, pool: Dataset, per_class: int) -> np.ndarray:
    """The whole pool as points in one call, checked first because encoding may take minutes: [n, d]."""
    require_rows(pool, per_class)
    return encoder.encode(pool)


def require_rows(pool: Dataset, per_class: int) -> None:
    """Raise where `per_class` is no count, or a class has fewer rows than that."""
    if per_class < 1:
        raise RecipeError(f"`per_class` must be at least 1, not {per_class}.", "Ask for one row per class or more.")
    for name, count in zip(pool.task.labels, pool.counts, strict=True):
        if count < per_class:
            raise DataError(
                f"Class {name!r} has {count} rows, but {per_class} per class were asked for.",
                f"Ask for at most {min(pool.counts)} per class, or give a larger pool.",
            )
