"""Cynical data selection (Axelrod 2017): the texts whose n-grams, as a set, are nearest to those of real rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dilm.coresets.classwise import candidates, require_rows
from dilm.coresets.last import Last
from dilm.numerics.cynical import cynical
from dilm.numerics.words import Words, joined, marks, ngrams
from dilm.types import Dataset, Selection

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LONGEST = 2
"""Words of the longest n-gram that counts."""
RARE = 2
"""An n-gram of the real rows counts if it stands there as often as this."""


@dataclass(frozen=True)
class Cynical:
    """Greedily, texts that lower the cross-entropy of the real rows' words and pairs of words under the set's own.

    The set is chosen as a whole, class by class in turns: what one class says already, another need not repeat. Where
    the target is text, its words count and those of the input do not.
    """

    reference: Dataset
    """The real rows, whose language is wanted."""
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class; `rng` is not used."""
        require_rows(pool, per_class)
        groups = self._groups(pool, per_class)
        counts, sizes = self._counts(pool)
        chosen = cynical(counts, sizes, self._wanted, groups, per_class)
        return Selection(tuple(row for rows in chosen for row in rows), pool.fingerprint)

    def _groups(self, pool: Dataset, per_class: int) -> list[np.ndarray]:
        """Rows of each class that may be chosen; a text is of the first class that has it, while others have enough."""
        groups: list[np.ndarray] = []
        taken: set[tuple[str, ...]] = set()
        for label in pool.task.conditions:
            groups.append(candidates(pool, label, per_class, taken))
            taken |= {pool.examples[row].texts for row in groups[-1]}
        return groups

    @cached_property
    def _known(self) -> Counter[Words]:
        """N-grams of the real rows that are not rare."""
        every = Counter(ngram for text in _texts(self.reference) for ngram in text)
        return Counter({ngram: count for ngram, count in every.items() if count >= RARE} or every)

    @cached_property
    def _place(self) -> dict[Words, int]:
        return {ngram: place for place, ngram in enumerate(self._known)}

    @property
    def _wanted(self) -> np.ndarray:
        return np.array(list(self._known.values()), dtype=np.float64)

    @cached_property
    def _counts(self) -> Last[tuple[csr_matrix, np.ndarray]]:
        return Last(self._count)

    def _count(self, pool: Dataset) -> tuple[csr_matrix, np.ndarray]:
        """How often each known n-gram stands in each text [n, V], and the n-grams of each, known or not [n]."""
        from scipy.sparse import csr_matrix

        texts = list(_texts(pool))
        rows = [Counter(self._place[each] for each in text if each in self._place) for text in texts]
        ends = np.cumsum([0, *map(len, rows)])
        places = np.fromiter((place for row in rows for place in row), np.int64, ends[-1])
        values = np.fromiter((count for row in rows for count in row.values()), np.float64, ends[-1])
        counts = csr_matrix((values, places, ends), shape=(len(texts), len(self._place)))
        return counts, np.array([len(text) for text in texts], dtype=np.float64)


def _texts(rows: Dataset) -> Iterator[list[Words]]:
    """The n-grams of each row that count."""
    for row in rows:
        text = marks(row.texts[-1] if rows.task.writes else joined(row.texts))
        yield [ngram for n in range(1, LONGEST + 1) for ngram in ngrams(text, n)]
