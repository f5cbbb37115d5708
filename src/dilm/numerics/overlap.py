"""Which runs of words two collections of texts share: an index that grows word by word, and never compares all pairs.

A run of n words is shared only if its first n - 1 words are. So the places where shared runs begin are kept from one
length to the next, and they soon are few: the work is that of reading both sides, not of comparing each with each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CELLS = 1 << 22
"""Pairs of texts that are counted at once: what bounds the memory."""


@dataclass(frozen=True)
class Tokens:
    """Texts as one row of word numbers; a number below 0 is a word that the other side does not have."""

    words: np.ndarray
    """[words of all texts]"""
    owner: np.ndarray
    """[words of all texts], ascending: the text that each word is of."""
    texts: int

    @classmethod
    def of(cls, words: np.ndarray, lengths: np.ndarray) -> Tokens:
        """From the word numbers of all texts, [sum of lengths], and the words of each, [texts]."""
        return cls(words, np.repeat(np.arange(len(lengths)), lengths), len(lengths))


@dataclass(frozen=True)
class Places:
    """Where runs begin, and which run it is that begins there."""

    start: np.ndarray
    gram: np.ndarray
    """Equal numbers, equal runs, on both sides."""
    owner: np.ndarray
    """The text that each place is in."""
    texts: int


@dataclass(frozen=True)
class Shared:
    """All runs of n words that occur on both sides."""

    n: int
    grams: int
    """Different runs."""
    ours: Places
    theirs: Places


def shared_runs(ours: Tokens, theirs: Tokens) -> Iterator[Shared]:
    """For n = 1, 2, 3, ...: the runs of n words that both sides have, until there are none."""
    base = max(int(side.words.max(initial=0)) for side in (ours, theirs)) + 1
    here, there = _nothing(ours), _nothing(theirs)
    for n in count(1):
        here, there = _longer(here, ours, n, base), _longer(there, theirs, n, base)
        common = np.intersect1d(here.gram, there.gram)
        if not len(common):
            return
        here, there = _only(here, common), _only(there, common)
        yield Shared(n, len(common), here, there)


def incidence(places: Places, grams: int) -> csr_array:
    """Whether each text has each run: [texts, grams] of 0 and 1."""
    from scipy.sparse import csr_array

    ones = np.ones(len(places.gram), dtype=np.int32)
    table = csr_array((ones, (places.owner, places.gram)), shape=(places.texts, grams))
    table.data[:] = 1  # a run that stands twice in a text was added up
    return table


def shared_counts(shared: Shared) -> Iterator[tuple[int, np.ndarray]]:
    """How many different runs each pair of texts shares, block by block: (first of their texts, [theirs, ours])."""
    theirs, ours = incidence(shared.theirs, shared.grams), incidence(shared.ours, shared.grams).T.tocsr()
    block = max(CELLS // shared.ours.texts, 1)
    for first in range(0, shared.theirs.texts, block):
        rows = theirs[first : first + block]
        if rows.nnz:
            yield first, (rows @ ours).toarray()


def first_texts(shared: Shared) -> np.ndarray:
    """For each of our texts the first of theirs that has a run of it, or -1: [ours]."""
    none = shared.theirs.texts
    of_gram = np.full(shared.grams, none)
    np.minimum.at(of_gram, shared.theirs.gram, shared.theirs.owner)
    of_text = np.full(shared.ours.texts, none)
    np.minimum.at(of_text, shared.ours.owner, of_gram[shared.ours.gram])
    return np.where(of_text == none, -1, of_text)


def _nothing(tokens: Tokens) -> Places:
    """Runs of no words: one begins at every word."""
    places = np.arange(len(tokens.words))
    return Places(places, np.zeros_like(places), tokens.owner, tokens.texts)


def _longer(places: Places, tokens: Tokens, n: int, base: int) -> Places:
    """Runs of n - 1 words and the word that follows, where one follows in the same text and the other side has it."""
    inside = places.start + n - 1 < len(tokens.words)
    start, gram, owner = places.start[inside], places.gram[inside], places.owner[inside]
    last = start + n - 1
    goes_on = (tokens.owner[last] == owner) & (tokens.words[last] >= 0)
    code = gram[goes_on] * base + tokens.words[last[goes_on]]
    return Places(start[goes_on], code, owner[goes_on], places.texts)


def _only(places: Places, common: np.ndarray) -> Places:
    """The places of common runs, these numbered from 0: what keeps the codes of longer runs small."""
    kept = np.isin(places.gram, common)
    return Places(places.start[kept], np.searchsorted(common, places.gram[kept]), places.owner[kept], places.texts)
