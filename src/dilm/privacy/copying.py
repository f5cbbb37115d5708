"""Copying: what the released texts share with rows that were trained on, beside as many rows that were not.

Short texts of common words are like some real row by chance. So every figure has its twin: the same of as many rows
that nothing was trained on. Only the difference says that something was copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import numpy as np

from dilm.numerics.chances import clopper_pearson, drawn_at_least


class Share(Protocol):
    """The n-grams of a text that real rows have too, as a share of its own."""

    @property
    def anywhere(self) -> float:
        """In all these rows together."""
        ...


class Repeat(Protocol):
    """What one text has in common with real rows."""

    @property
    def copies(self) -> Sequence[int]:
        """Rows with the same words in the same order."""
        ...

    @property
    def near(self) -> Sequence[int]:
        """Rows that are nearly the same, and no copies."""
        ...

    @property
    def run(self) -> int:
        """Words of the longest run that a real row has too."""
        ...

    @property
    def fives(self) -> Share | None:
        """Of runs of five words; None where the text has fewer."""
        ...


@dataclass(frozen=True)
class Side:
    """What texts share with rows of one kind."""

    alike: int
    """Texts that are a row's copy, or nearly so."""
    share: float
    low: float
    high: float
    hit: int
    """Rows that they repeat."""
    longest: int
    """Words of the longest run."""
    mean_longest: float
    fives: float | None
    """Share of a text's runs of five words that some row has, mean over texts; None where no text has five words."""


@dataclass(frozen=True)
class Copying:
    """Of one set of texts, against as many rows of either kind."""

    texts: int
    rows: int
    trained: Side
    held_out: Side
    p: float
    """One-sided, of the rows that are repeated being trained ones by chance."""

    @property
    def difference(self) -> float:
        """Of the shares of texts that are alike."""
        return self.trained.share - self.held_out.share


def copying(trained: Sequence[Repeat], held_out: Sequence[Repeat], rows: int) -> Copying:
    """The same n texts against `rows` rows that were trained on, and against as many that were held out: n, n.

    Many texts may repeat one row, so it is rows that are counted for the p value: as many as are hit are a random draw
    from both kinds, unless the texts know which were trained on.
    """
    ours, theirs = _side(trained), _side(held_out)
    return Copying(len(trained), rows, ours, theirs, drawn_at_least(ours.hit, ours.hit + theirs.hit, rows, 2 * rows))


def _side(texts: Sequence[Repeat]) -> Side:
    alike = sum(bool(text.copies or text.near) for text in texts)
    fives = [text.fives.anywhere for text in texts if text.fives]
    return Side(
        alike,
        alike / len(texts),
        *clopper_pearson(alike, len(texts)),
        len({row for text in texts for row in (*text.copies, *text.near)}),
        max(text.run for text in texts),
        fmean(text.run for text in texts),
        fmean(fives) if fives else None,
    )


def distance_ratio(trained: np.ndarray, held_out: np.ndarray) -> tuple[float, float, float]:
    """How far texts are from the nearest trained row, over how far from the nearest held-out one: [n], [n] -> ratio.

    Of the mean distances, with a bootstrap interval over texts; below 1 where trained rows are nearer. As many rows of
    either kind must have been asked.

    >>> distance_ratio(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
    (0.5, 0.5, 0.5)
    """
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(trained), (2000, len(trained)))
    resampled = trained[drawn].mean(1) / np.maximum(held_out[drawn].mean(1), np.finfo(float).tiny)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(trained.mean() / max(held_out.mean(), np.finfo(float).tiny)), float(low), float(high)
