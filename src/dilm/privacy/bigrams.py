"""A model of word pairs that learns from the released texts alone: what their words give away without any other help.

The attack of Meeus et al. ("The Canary's Echo", 2025): train an n-gram model on the synthetic texts, and see which real
rows it foretells well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import log

import numpy as np

from dilm.numerics.words import Words, words

START = ""
"""Before the first word, and no word itself."""
PRIOR = 1.0
"""Occurrences that each word has beforehand, as in Laplace's rule; a pair has as much of its second word's share."""


class Bigrams:
    """Word pairs, smoothed by single words: any text has a likelihood."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._firsts: Counter[str] = Counter()
        self._words: Counter[str] = Counter()
        for text in texts:
            said = words(text)
            self._words.update(said)
            self._pairs.update(_pairs(said))
            self._firsts.update((START, *said[:-1]) if said else ())
        self._total = self._words.total() + PRIOR * (len(self._words) + 1)

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Mean log-likelihood of a word of each text, in nats; a text without words has that of an unknown one: -> [n].

        >>> known, other = Bigrams(["the plot was dull"]).scores(["the plot was dull", "dull was the plot"])
        >>> bool(known > other)
        True
        """
        return np.array([self._score(words(text)) for text in texts])

    def _score(self, said: Words) -> float:
        if not said:
            return log(PRIOR / self._total)
        return sum(log(self._chance(first, second)) for first, second in _pairs(said)) / len(said)

    def _chance(self, first: str, second: str) -> float:
        alone = (self._words[second] + PRIOR) / self._total
        return (self._pairs[first, second] + PRIOR * alone) / (self._firsts[first] + PRIOR)


def _pairs(said: Words) -> list[tuple[str, str]]:
    return list(zip((START, *said), said, strict=False))
