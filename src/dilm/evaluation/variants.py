"""The same sets, trained on in other ways: with a teacher's soft labels, or with augmented copies of their texts.

Both help almost any set, so a gain that they bring is not the set's: they are given to random rows as well, and what is
left of the difference is what DD-Ranking (2505.13300) calls robust.
"""

from __future__ import annotations

from random import Random

import numpy as np

from dilm.types import Dataset, Example

SOFT, AUGMENTED = "soft", "augmented"
COPIES = 8
"""Augmented copies of each text; Wei & Zou recommend this many or more where there are few rows."""
CHANGED = 0.1
"""Share of a text's words that a copy changes."""


def softened(rows: Dataset, probabilities: np.ndarray) -> Dataset:
    """The rows with a teacher's probabilities as labels: [n, classes], each row summing to 1."""
    pairs = zip(rows, probabilities.tolist(), strict=True)
    return Dataset(rows.task, [Example(row.texts, row.label, tuple(soft)) for row, soft in pairs])


def augmented(rows: Dataset, rng: Random, copies: int = COPIES) -> Dataset:
    """The rows and changed copies of them: words swapped in one half of the copies, left out in the other.

    Two of the four operations of EDA (Wei & Zou 2019), which need no dictionary; a text of one word stays as it is.
    """
    changes = (swapped, thinned)
    made = [
        Example(tuple(changes[number % 2](text, rng) for text in row.texts), row.label, row.soft)
        for number in range(copies)
        for row in rows
    ]
    return Dataset(rows.task, [*rows, *made])


def swapped(text: str, rng: Random) -> str:
    """A tenth of the words, or one, change places with another.

    >>> sorted(swapped("one two", Random(0)).split())
    ['one', 'two']
    """
    words = text.split()
    for _ in range(max(1, round(CHANGED * len(words))) if len(words) > 1 else 0):
        one, other = rng.sample(range(len(words)), 2)
        words[one], words[other] = words[other], words[one]
    return " ".join(words)


def thinned(text: str, rng: Random) -> str:
    """Each word is left out with probability a tenth; one stays.

    >>> thinned("alone", Random(0))
    'alone'
    """
    words = text.split()
    return " ".join([word for word in words if rng.random() >= CHANGED] or words[:1])
