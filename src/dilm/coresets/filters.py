"""What may be wrong with a text, each as a filter: rows of a pool -> how far each is from passing, 0 or less if so.

A filter only says; what becomes of a class that has too few good rows is decided in `filtered`. Those that ask a
teacher take whatever knows the classes from real rows: a linear probe, or a fine-tuned learner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np

from dilm.errors import RecipeError
from dilm.numerics.answers import consistent, realised
from dilm.numerics.words import Words, joined, ngrams, words
from dilm.types import Dataset, Example, Task

Filter = Callable[[Dataset], np.ndarray]
"""Rows of a pool [n] -> the fault of each, [n]: above 0 where the row is out, and the greater the worse."""

Teacher = Callable[[Dataset], np.ndarray]
"""Rows [n] -> log-probabilities of the classes, [n, C]."""

ROUNDING = 1e-9
"""A tenth of thirty rows is three, although 0.1 * 30 is a little more."""

COMMON = 0.1
"""A word that stands in a larger share of all fields says nothing of what a pair is about."""


@dataclass(frozen=True)
class Agreeing:
    """Rows whose own class the teacher finds likelier than any other, by a lead of probability, 0 to 1."""

    teacher: Teacher
    lead: float = 0.0

    def __call__(self, pool: Dataset) -> np.ndarray:
        """What is missing of the lead: [n]."""
        shares = np.exp(self.teacher(pool))
        rows, labels = np.arange(len(pool)), np.array(pool.labels)
        own = shares[rows, labels]
        shares[rows, labels] = -np.inf
        return self.lead - (own - shares.max(axis=1))


@dataclass(frozen=True)
class Surest:
    """The share of each class whose label the teacher is surest of; typical rows, and so alike ones if it is small."""

    teacher: Teacher
    share: float

    def __call__(self, pool: Dataset) -> np.ndarray:
        """Places behind the last that passes: [n]."""
        return _behind(-self.teacher(pool)[np.arange(len(pool)), pool.labels], pool, self.share)


@dataclass(frozen=True)
class Fluent:
    """The share of each class whose targets a language model, which did not write them, finds likeliest."""

    nll: Callable[[Dataset], np.ndarray]
    """Of a target's token: rows [n] -> [n]."""
    share: float

    def __call__(self, pool: Dataset) -> np.ndarray:
        """Places behind the last that passes: [n]."""
        return _behind(self.nll(pool), pool, self.share)


@dataclass(frozen=True)
class Answering:
    """Rows whose target is consistent as far as that can be checked: a number at its end and no wrong calculation, or
    every slot of its input said. Raises RecipeError where a task's targets cannot be checked."""

    def __call__(self, pool: Dataset) -> np.ndarray:
        """1 for a row that is not, or the share of slots that it leaves out: [n]."""
        require_answers(pool.task)
        if pool.task.answer == "number":
            return np.array([float(not consistent(row.texts[-1])) for row in pool])
        return np.array([1 - realised(joined(row.texts[:-1]), row.texts[-1]) for row in pool])


@dataclass(frozen=True)
class Covered:
    """Rows that lie nearer to the centre of their own condition than to any other: written for all conditions, they
    cover all."""

    distances: Callable[[Dataset], np.ndarray]
    """Rows [n] -> to the centre of each condition, [n, C], up to a number that is the same for all centres."""

    def __call__(self, pool: Dataset) -> np.ndarray:
        """How much nearer another centre is: [n]."""
        found = self.distances(pool)
        return found[np.arange(len(pool)), pool.labels] - found.min(axis=1)


def require_answers(task: Task) -> None:
    """Raise RecipeError where nothing says how a task's targets are checked."""
    if task.answer not in ("number", "slots"):
        raise RecipeError(
            f"The filter `answer` checks targets, and nothing says how those of {task.name} are checked.",
            "Take it out of select.filters.",
        )


def _behind(doubts: np.ndarray, pool: Dataset, share: float) -> np.ndarray:
    """Of each class, places behind the last that is within the share of least doubt: [n] -> [n]."""
    faults = np.zeros(len(pool))
    for label in pool.task.conditions:
        rows = np.array(pool.where(label), dtype=np.int64)
        places = np.argsort(np.argsort(doubts[rows], kind="stable"))
        faults[rows] = places + 1 - np.ceil(share * len(rows) - ROUNDING)
    return faults


@dataclass(frozen=True)
class LongEnough:
    """Texts of so many words or more, all fields together."""

    least: int

    def __call__(self, pool: Dataset) -> np.ndarray:
        """Words that are missing: [n]."""
        return np.array([self.least - len(_words(row)) for row in pool], dtype=np.float64)


@dataclass(frozen=True)
class Unrepetitive:
    """Texts of whose pairs of neighbouring words at most a share has stood there before."""

    most: float

    def __call__(self, pool: Dataset) -> np.ndarray:
        """Share beyond that: [n]."""
        return np.array([repetition(_words(row)) - self.most for row in pool])


def repetition(text: Words) -> float:
    """Share of a text's pairs of neighbouring words that it has said before; 0 of a text without pairs.

    >>> repetition(("so", "so", "so", "so", "good")), repetition(("no", "end"))
    (0.5, 0.0)
    """
    pairs = ngrams(text, 2)
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0


class TellingPairs:
    """Pairs whose fields are neither the same words nor without a word of content in common.

    Content is what is left without the words that are common in the pool at hand; a field that has nothing else is
    taken with all its words. A pair of the same fields is worse than one of fields that have nothing to do with each
    other. Raises RecipeError where a task has not two fields.
    """

    def __call__(self, pool: Dataset) -> np.ndarray:
        """2 for equal fields, 1 for unrelated ones, 0 for others: [n]."""
        require_pairs(pool.task)
        fields = [(words(row.texts[0]), words(row.texts[1])) for row in pool]
        common = _common(chain.from_iterable(fields))
        return np.array([_fault_of_pair(left, right, common) for left, right in fields], dtype=np.float64)


def require_pairs(task: Task) -> None:
    """Raise RecipeError where a task has not two fields."""
    if len(task.fields) != 2:
        raise RecipeError(
            f"The filter `pairs` compares two fields, and {task.name} has {len(task.fields)}.",
            "Take it out of select.filters.",
        )


def _fault_of_pair(left: Words, right: Words, common: frozenset[str]) -> int:
    if left == right:
        return 2
    one, other = (set(field) - common or set(field) for field in (left, right))
    return int(not one & other)


def _common(fields: chain[Words]) -> frozenset[str]:
    """Words that stand in many of all fields, and in two at least."""
    many = list(fields)
    counted = Counter(word for field in many for word in set(field))
    return frozenset(word for word, count in counted.items() if count > max(COMMON * len(many), 2))


def _words(row: Example) -> Words:
    return words(joined(row.texts))
