"""Texts as points by the words that they have: latent semantic analysis (Deerwester et al. 1990) of given rows."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from dilm.models.field_words import FieldWords
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
        self._words = FieldWords(seen, MOST_WORDS)
        self._pairs = len(rows.task.fields) == 2
        counted = self._words.count(seen)
        with one_thread():
            self._wide = max(1, min(DIRECTIONS, min(counted.shape) - 1))
            self._directions = TruncatedSVD(self._wide, random_state=0).fit(counted)

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        """float32 [n, at most 200, or 202 of pairs]; words that the rows lack count for nothing."""
        nothing = np.empty((0, self._wide))
        found = [self._directions.transform(self._words.count(examples)) if examples else nothing]
        if self._pairs:
            found.append(shared_words(examples))
        return np.hstack(found).astype(np.float32)
