"""Several texts of a class in one example, so that as many examples say more.

For images this is multi-formation (Kim et al., ICML 2022) or stitched crops (Sun et al., CVPR 2024).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from dilm.coresets.distinct import Distinct
from dilm.coresets.filtered import Filtered
from dilm.protocols import Selector
from dilm.types import Dataset, Example, Selection


@dataclass(frozen=True)
class Packed:
    """`select` of `texts` times as many rows, in an order of which `join` makes examples: who shares one is drawn."""

    select: Selector | Distinct | Filtered
    texts: int

    @property
    def varies(self) -> bool:
        """Even where the rows are always the same, who shares an example is not."""
        return self.texts > 1 or self.select.varies

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` times `texts` distinct rows of every class, class by class."""
        chosen = self.select(pool, per_class * self.texts, rng)
        if self.texts == 1:
            return chosen
        shuffled = rng.permutation(chosen.positions).tolist()
        return Selection(tuple(sorted(shuffled, key=lambda row: pool[row].label)), chosen.pool)


def join(rows: Dataset, texts: int) -> Dataset:
    """Every `texts` consecutive rows, which must be of one class, as one example: n rows -> n / texts."""
    if texts == 1:
        return rows
    groups = (rows.examples[begin : begin + texts] for begin in range(0, len(rows), texts))
    return Dataset(rows.task, map(_as_one, groups))


def _as_one(rows: Sequence[Example]) -> Example:
    (label,) = {row.label for row in rows}
    return Example(tuple(reduce(_beside, field) for field in zip(*(row.texts for row in rows), strict=True)), label)


def _beside(before: str, after: str) -> str:
    """With a full stop between them where there is no mark.

    >>> _beside("a warm film", "Who made it?"), _beside("Who made it?", "nobody knows")
    ('a warm film. Who made it?', 'Who made it? nobody knows')
    """
    before = before.rstrip()
    ended = not before or unicodedata.category(before[-1]).startswith("P")
    return f"{before}{'' if ended else '.'} {after.lstrip()}"
