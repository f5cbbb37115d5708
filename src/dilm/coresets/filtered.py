"""Any selection among the rows that pass filters, without ever leaving a class too few: it yields, and says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from dilm.coresets.classwise import require_rows
from dilm.coresets.distinct import Distinct
from dilm.coresets.filters import Filter
from dilm.protocols import Selector
from dilm.types import Dataset, Selection


@dataclass(frozen=True)
class Tally:
    """What one filter did to one pool, class by class."""

    filter: str
    removed: tuple[int, ...]
    """Rows that it took out."""
    yielded: tuple[int, ...]
    """Rows that failed and stayed, because the class would have been too small."""


@dataclass(frozen=True)
class Filtered:
    """`select` among the rows that pass every filter, each asked about the rows that those before it left.

    Where fewer different texts of a class pass than are wanted, those that fail least stay too. A text that stands in
    several classes does not count as one of them, since it can be kept in one only.
    """

    filters: Mapping[str, Filter]
    """By the names under which their tallies are told."""
    select: Selector | Distinct
    told: Callable[[tuple[Tally, ...]], None] = lambda tallies: None
    """Hears of every pool what the filters did."""

    @property
    def varies(self) -> bool:
        return self.select.varies

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, as `select` chooses among those that stay."""
        kept, tallies = self.kept(pool, per_class)
        self.told(tallies)
        chosen = self.select(pool.take(kept), per_class, rng)
        return Selection(tuple(kept[position] for position in chosen.positions), pool.fingerprint)

    def kept(self, pool: Dataset, per_class: int) -> tuple[list[int], tuple[Tally, ...]]:
        """Positions of the rows that stay, ascending, and a tally of each filter."""
        require_rows(pool, per_class)
        kept, tallies = list(range(len(pool))), []
        for name, faults_of in self.filters.items():
            left = pool.take(kept)
            faults = faults_of(left)
            stay = _staying(left, faults, per_class)
            yielded = left.take(row for row in stay if faults[row] > 0).counts
            kept = [kept[row] for row in stay]
            removed = np.subtract(left.counts, pool.take(kept).counts)
            tallies.append(Tally(name, tuple(removed.tolist()), yielded))
        return kept, tuple(tallies)


def _staying(pool: Dataset, faults: np.ndarray, per_class: int) -> list[int]:
    """Rows without fault, and of a class with too few of them those of least fault: ascending."""
    shared = _in_several_classes(pool)
    stay: list[int] = []
    for label in pool.task.conditions:
        rows = np.array(pool.where(label), dtype=np.int64)
        counted: set[tuple[str, ...]] = set()
        for row in rows[np.argsort(faults[rows], kind="stable")].tolist():
            if faults[row] > 0 and len(counted) >= per_class:
                break
            stay.append(row)
            counted.update({pool[row].texts} - shared)
    return sorted(stay)


def _in_several_classes(pool: Dataset) -> set[tuple[str, ...]]:
    first: dict[tuple[str, ...], int] = {}
    return {row.texts for row in pool if first.setdefault(row.texts, row.label) != row.label}
