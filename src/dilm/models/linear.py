"""Learners that train only a linear head: on the frozen features of an encoder (as SetFit does), or on word counts.

They learn in milliseconds, draw nothing at random, and are as far from fine-tuning as transfer can be asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dilm.errors import ModelError
from dilm.models.field_words import FieldWords
from dilm.models.pairs import shared_words
from dilm.numerics.probe import Probe, fit_probe
from dilm.protocols import Encoder
from dilm.types import Dataset, Example


def votes(rows: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """What a linear head is fitted to: positions of rows [m], a class for each [m], and how much it counts [m].

    A row with a soft label stands there once for every class, weighted by its probability; without any, each row once.
    Soft labels say which rows speak for a class and how clearly, not how frequent it is: a class counts for as many
    rows as have it as their own label. A head's slopes are regularised and its bias is not; so where a teacher's
    probabilities for a few rows add up to a little more of one class, the bias would learn that and decide alone.
    """
    if not any(row.soft for row in rows):
        return np.arange(len(rows)), np.array(rows.labels), None
    classes = len(rows.task.labels)
    shares = _as_frequent(np.array([row.soft or np.eye(classes)[row.label] for row in rows]), rows.counts)
    return np.repeat(np.arange(len(rows)), classes), np.tile(np.arange(classes), len(rows)), shares.ravel()


def _as_frequent(shares: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Each class's shares scaled to add up to its count; one without count or share stays: [m, classes] -> the same.

    >>> _as_frequent(np.array([[0.75, 0.25], [0.75, 0.25]]), [1, 1]).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    wanted, mass = np.array(counts), shares.sum(axis=0)
    return shares * np.divide(wanted, mass, out=np.ones(len(mass)), where=(wanted > 0) & (mass > 0))


class FrozenFeatures:
    """Logistic regression on an encoder's points; the encoder itself never changes."""

    def __init__(self, encoder: Encoder, probe: Probe | None = None) -> None:
        """With a fitted `probe` there is nothing left to learn."""
        self.encoder = encoder
        self._probe = probe

    def train_on(self, rows: Dataset, seed: int) -> None:
        """Forget what was learnt before; every class must occur in `rows`. Every `seed` gives the same head."""
        where, labels, weights = votes(rows)
        self._probe = fit_probe(self.encoder.encode(rows)[where], labels, weights)

    def predict(self, examples: Sequence[Example]) -> list[int]:
        """Most likely class of each example."""
        if self._probe is None:
            raise ModelError("This learner has not learnt anything yet.", "Call `train_on` first.")
        return self._probe.log_probabilities(self.encoder.encode(examples)).argmax(axis=1).tolist()


class WordCounts:
    """Logistic regression on TF-IDF of words and word pairs, each field with a vocabulary of its own, and of two fields
    on the words that they share.

    The vocabulary is that of the training rows: what a model without any knowledge of language learns from them.
    """

    def __init__(self) -> None:
        self._words: FieldWords | None = None
        self._head: Any = None

    def train_on(self, rows: Dataset, seed: int) -> None:
        """Forget what was learnt before; every `seed` gives the same head."""
        from sklearn.linear_model import LogisticRegression

        self._words = FieldWords(rows)
        where, labels, weights = votes(rows)
        self._head = LogisticRegression(max_iter=1000).fit(_counted(self._words, rows)[where], labels, weights)

    def predict(self, examples: Sequence[Example]) -> list[int]:
        """Most likely class of each example."""
        if self._words is None or self._head is None:
            raise ModelError("This learner has not learnt anything yet.", "Call `train_on` first.")
        return self._head.predict(_counted(self._words, examples)).tolist()


def _counted(words: FieldWords, examples: Sequence[Example]) -> Any:
    """Sparse [n, words of all fields], and of pairs two columns more."""
    from scipy.sparse import csr_matrix, hstack

    found = words.count(examples)
    return hstack([found, csr_matrix(shared_words(examples))]).tocsr() if len(examples[0].texts) == 2 else found
