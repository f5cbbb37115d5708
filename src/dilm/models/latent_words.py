"""Texts as points by the words that they have: latent semantic analysis (Deerwester et al. 1990) of given rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from dilm.models.linear import word_table
from dilm.models.pairs import shared_words
from dilm.numerics.threads import one_thread
from dilm.types import Dataset, Example

DIRECTIONS = 200
MOST_WORDS = 20_000
"""The most frequent words and pairs of words of a field that are counted."""
MOST_ROWS = 20_000
"""Rows that the directions are learnt from, drawn where there are more."""


class LatentWords:
    """An `Encoder` that knows only words: TF-IDF of words and word pairs, each field with a vocabulary of its own, in
    the directions in which the rows differ most; of pairs the shares of common words, too."""

    def __init__(self, rows: Dataset) -> None:
        from sklearn.decomposition import TruncatedSVD

        seen = rows.sample(MOST_ROWS, random.Random(0)) if len(rows) > MOST_ROWS else rows
        fields = zip(*(row.texts for row in seen), strict=True)
        self._tables = [word_table(max_features=MOST_WORDS).fit(texts) for texts in fields]
        counted = self._count(seen)
        with one_thread():
            kept = max(1, min(DIRECTIONS, min(counted.shape) - 1))
            self._directions = TruncatedSVD(kept, random_state=0).fit(counted)

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        """float32 [n, at most 200, or 202 of pairs]; words that the rows lack count for nothing."""
        found = [self._directions.transform(self._count(examples)) if examples else self._directions.components_.T[:0]]
        if len(self._tables) == 2:
            found.append(shared_words(examples))
        return np.hstack(found).astype(np.float32)

    def _count(self, examples: Sequence[Example]) -> Any:
        """Sparse [n, words of all fields]."""
        from scipy.sparse import hstack

        fields = zip(*(row.texts for row in examples), strict=True)
        return hstack([table.transform(texts) for table, texts in zip(self._tables, fields, strict=True)]).tocsr()
