"""A set chosen as a whole: the best of several draws, then swaps, judged by what quick learners make of other rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from dilm.coresets.classwise import require_rows
from dilm.numerics.probe import fit_probe
from dilm.protocols import Encoder, Selector
from dilm.types import Dataset, Selection

Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(rows of the pool [k], their classes [k]) -> whether each held-out row is classified rightly, [m] bool."""


@dataclass(frozen=True)
class Validated:
    """Draw sets by another selector, keep the best, and swap rows for those of other draws while that helps.

    A set is judged by three learners that take milliseconds and know nothing of each other: a logistic head and class
    means on the encoder's points, and a logistic head on words; the mean of all three, so that no single one is
    overfitted. One half of the `held_out` rows guides the search, the other chooses where on its way to stop.
    """

    encoder: Encoder
    draw: Selector
    held_out: Dataset
    draws: int = 20
    """Sets to begin with; swaps take their rows from all of them."""
    swaps: int = 400
    """Swaps that are tried."""
    varies: ClassVar[bool] = True

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class."""
        require_rows(pool, per_class)
        sets = [np.array(self.draw(pool, per_class, rng).positions) for _ in range(self.draws)]
        search = Search(pool, self._judges(pool), len(self.held_out) // 2)
        best = max(sets, key=search.guide)
        drawn = np.unique(np.concatenate(sets))
        stock = {label: _of(drawn, pool, label) for label in pool.task.conditions}
        walk = search.walk(best, stock, self.swaps, rng)
        return Selection(tuple(max(walk, key=search.check).tolist()), pool.fingerprint)

    def _judges(self, pool: Dataset) -> tuple[Judge, ...]:
        points, truth = self.encoder.encode(pool), np.array(self.held_out.labels)
        words, held_words = _word_counts(pool, self.held_out)
        return (
            lambda rows, labels: _by_probe(points[rows], labels, self._points) == truth,
            lambda rows, labels: _by_means(points[rows], labels, self._points) == truth,
            lambda rows, labels: _by_probe(words[rows], labels, held_words) == truth,
        )

    @cached_property
    def _points(self) -> np.ndarray:
        return self.encoder.encode(self.held_out)


@dataclass(frozen=True)
class Search:
    """The walk through sets of one pool."""

    pool: Dataset
    judges: tuple[Judge, ...]
    half: int
    """Held-out rows that guide; the others check."""

    def guide(self, rows: np.ndarray) -> float:
        """Share of the guiding rows that the judges get right."""
        return float(self._right(rows)[:, : self.half].mean())

    def check(self, rows: np.ndarray) -> float:
        """The same of the others."""
        return float(self._right(rows)[:, self.half :].mean())

    def walk(
        self, start: np.ndarray, stock: dict[int, np.ndarray], swaps: int, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """The start, and every set that was better for the guiding rows than all before it."""
        rows, value = start, self.guide(start)
        found = [rows]
        for _ in range(swaps):
            place = int(rng.integers(len(rows)))
            other = rows.copy()
            other[place] = rng.choice(stock[self.pool[int(rows[place])].label])
            if self._all_different(other) and (reached := self.guide(other)) > value:
                rows, value = other, reached
                found.append(rows)
        return found

    def _all_different(self, rows: np.ndarray) -> bool:
        """No text stands there twice, in no class."""
        return len({self.pool[int(row)].texts for row in rows}) == len(rows)

    def _right(self, rows: np.ndarray) -> np.ndarray:
        """[judges, held-out rows] bool."""
        labels = np.array([self.pool[int(row)].label for row in rows])
        return np.stack([judge(rows, labels) for judge in self.judges])


def _by_probe(points: Any, labels: np.ndarray, asked: Any) -> np.ndarray:
    return fit_probe(points, labels).log_probabilities(asked).argmax(axis=1)


def _by_means(points: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The class whose mean is nearest."""
    means = np.stack([points[labels == label].mean(axis=0) for label in np.unique(labels)])
    return (np.square(means).sum(axis=1) - 2 * asked @ means.T).argmin(axis=1)


def _word_counts(pool: Dataset, held_out: Dataset) -> tuple[Any, Any]:
    """TF-IDF over all fields, of the pool's rows and of the held-out ones, in the words of these: [n, v], [m, v]."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]")
    counted = counter.fit_transform(" ".join(row.texts) for row in held_out)
    return counter.transform(" ".join(row.texts) for row in pool), counted


def _of(rows: np.ndarray, pool: Dataset, label: int) -> np.ndarray:
    return np.array([row for row in rows if pool[int(row)].label == label])
