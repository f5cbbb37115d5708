"""What can be said of a small set's text without training on it: length, variety, fluency, labels, repeats.

Most of these numbers depend on how many texts there are and how long they are: more texts, lower distinct-n and higher
self-BLEU. They mean something beside those of as many real rows, measured with the same encoder, language model and
judge. What could not be measured is None, and `Quality.reasons` says why.

The fields of a pair are joined in reading order and measured as one text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from statistics import fmean, median
from types import ModuleType
from typing import Protocol

import numpy as np

from dilm.errors import DataError, ResourceError
from dilm.evaluation.contamination import compare, words_of
from dilm.numerics.diversity import distinct, frechet, points_needed, repetition_rate, vendi
from dilm.numerics.metrics import accuracy
from dilm.numerics.words import Words, joined
from dilm.protocols import Encoder
from dilm.types import Dataset, Example

SELF_BLEU_MOST = 500
"""Texts above which self-BLEU, which compares all pairs, would take minutes."""
MAUVE_LEAST = 1000
"""Texts a side below which MAUVE is not computed: it compares histograms over a tenth as many clusters."""


class LanguageModel(Protocol):
    """A model that had no part in writing the texts, and tells how likely they are."""

    def __call__(self, texts: Sequence[str]) -> tuple[Sequence[float], Sequence[int]]:
        """For each text the sum of its tokens' negative log-likelihoods, in nats, and the number of these tokens."""
        ...


class Judge(Protocol):
    """A classifier trained on full data."""

    def predict(self, examples: Sequence[Example]) -> list[int]:
        """Most likely class of each example."""
        ...


@dataclass(frozen=True)
class Quality:
    """Measures of the text of one set. None is something that was not measured; `reasons` tells why, by field."""

    texts: int
    words_mean: float
    """Words per text."""
    words_median: float
    words_max: int
    distinct_1: float | None
    """Different words, as a share of all words; the next two of pairs and of triples. Higher is more varied."""
    distinct_2: float | None
    distinct_3: float | None
    repetition: float
    """Share of texts in which a run of three words stands three times or more."""
    exact_duplicates: int
    """Texts that could be dropped since an earlier one has the same words."""
    near_duplicates: int
    """Texts to which another is alike, but not equal: Jaccard similarity of 3-word shingles at least 0.7."""
    self_bleu: float | None
    """Mean BLEU-4 of each text against all others, 0 to 1. Lower is more varied."""
    vendi: float | None
    """How many different texts there are for the encoder, 1 to `texts`."""
    frechet: float | None
    """Squared distance from the real rows' points."""
    mauve: float | None
    """On the encoder's points, 0 to 1; not comparable with published values, which are of GPT-2's."""
    perplexity: float | None
    """Per token, over all texts. A text that repeats itself is easily foretold: lower is not always better."""
    label_agreement: float | None
    """Share of texts whose label the judge shares; to be read beside the judge's own accuracy."""
    reasons: Mapping[str, str] = field(default_factory=dict)


def quality(
    rows: Dataset,
    encoder: Encoder | None = None,
    language_model: LanguageModel | None = None,
    judge: Judge | None = None,
    real: Dataset | None = None,
) -> Quality:
    """Measure what the given objects allow. `real` rows serve `frechet` and `mauve`, with the encoder.

    Raises DataError where there are no rows; what the objects themselves raise is passed on.
    """
    if not len(rows):
        raise DataError("There are no texts.", "Give one or more.")
    texts, notes = [words_of(example) for example in rows], _Notes()
    lengths = [len(text) for text in texts]
    variety, distance, likeness = _measured_on_points(rows, encoder, real, notes)
    return Quality(
        texts=len(texts),
        words_mean=fmean(lengths),
        words_median=median(lengths),
        words_max=max(lengths),
        distinct_1=notes.attempt("distinct_1", distinct, texts, 1),
        distinct_2=notes.attempt("distinct_2", distinct, texts, 2),
        distinct_3=notes.attempt("distinct_3", distinct, texts, 3),
        repetition=repetition_rate(texts),
        exact_duplicates=len(texts) - len(set(texts)),
        near_duplicates=sum(bool(text.near) for text in compare(rows, rows).texts),
        self_bleu=notes.attempt("self_bleu", self_bleu, texts),
        vendi=variety,
        frechet=distance,
        mauve=likeness,
        perplexity=_perplexity(rows, language_model, notes),
        label_agreement=_agreement(rows, judge, notes),
        reasons=notes.reasons,
    )


@dataclass(frozen=True)
class Likeness:
    """How far many texts are from real rows, as distributions of an encoder's points. None is what was not measured."""

    frechet: float | None
    mauve: float | None
    reasons: Mapping[str, str] = field(default_factory=dict)


def likeness(rows: Dataset, real: Dataset, encoder: Encoder) -> Likeness:
    """Of a pool rather than of a small set: `reasons` says how many texts it takes where there are too few."""
    notes, shape = _Notes(), (min(len(rows), len(real)), encoder.encode(rows.examples[:1]).shape[1])
    ours, theirs = (_points_to_compare(encoder, side, shape) for side in (rows, real))
    return Likeness(*_distances(ours, theirs, notes), notes.reasons)


def self_bleu(texts: Sequence[Words]) -> float:
    """Self-BLEU (Zhu et al. 2018): mean BLEU-4 of each text against all others, 0 to 1, as sacrebleu has it.

    Of texts with fewer than four words, only the orders that they have count. Raises DataError of fewer than 2 texts or
    more than 500, and ResourceError without the extra `text`.
    """
    if not 2 <= len(texts) <= SELF_BLEU_MOST:
        raise DataError(
            f"Self-BLEU compares every text with every other: {len(texts)} texts are too few or too many.",
            f"Measure 2 to {SELF_BLEU_MOST} of them.",
        )
    bleu = _library("sacrebleu.metrics", "Self-BLEU", "dilm[text]").BLEU(tokenize="none", effective_order=True)
    lines = [" ".join(text) for text in texts]
    scores = [bleu.sentence_score(line, lines[:at] + lines[at + 1 :]).score for at, line in enumerate(lines)]
    return min(float(np.mean(scores)) / 100, 1.0)  # sacrebleu's 100 is 100.00000000000004


def perplexity(nll: Sequence[float], tokens: Sequence[int]) -> float:
    """The exponential of the mean nll of a token over all texts: sums in nats [n], tokens [n].

    >>> round(perplexity([2.0, 4.0], tokens=[1, 5]), 3)  # a text counts by its length: exp(6 / 6)
    2.718
    """
    total, count = float(np.sum(nll)), int(np.sum(tokens))
    with np.errstate(over="ignore"):  # an infinite perplexity is refused below
        value = np.exp(total / count) if count else np.inf
    if not np.isfinite(value):
        raise DataError("The language model gave no finite likelihood.", "Use one that can read these texts.")
    return float(value)


def mauve(ours: np.ndarray, theirs: np.ndarray) -> float:
    """MAUVE (Pillutla et al. 2021) of two clouds of points: [n, d], [m, d] -> 0 to 1, where 1 is no difference.

    It compares histograms over clusters, a tenth as many as points: of tens of texts it tells nothing but their number.
    Raises DataError of fewer than 1000 points a side, and ResourceError without the extra `mauve`.
    """
    fewest = min(len(ours), len(theirs))
    if fewest < MAUVE_LEAST:
        raise DataError(
            f"MAUVE needs {MAUVE_LEAST} texts a side, and there are {fewest}.",
            "Measure a pool instead of a small set, or do without.",
        )
    package = _library("mauve", "MAUVE", "dilm[mauve]")
    return float(package.compute_mauve(p_features=theirs, q_features=ours, verbose=False).mauve)


@dataclass
class _Notes:
    """Why measures are missing."""

    reasons: dict[str, str] = field(default_factory=dict)

    def attempt(self, name: str, measure: Callable[..., float], *arguments: object) -> float | None:
        """A measure, or None and a note. For what cannot call an object of the user's: whose errors are no notes."""
        try:
            return measure(*arguments)
        except (DataError, ResourceError) as error:
            return self.without(name, str(error))

    def without(self, name: str, reason: str) -> None:
        self.reasons[name] = reason


def _measured_on_points(
    rows: Dataset, encoder: Encoder | None, real: Dataset | None, notes: _Notes
) -> tuple[float | None, float | None, float | None]:
    """Vendi score, Frechet distance and MAUVE, these two against the real rows' points."""
    if encoder is None:
        lacking = "No encoder was given."
        return notes.without("vendi", lacking), notes.without("frechet", lacking), notes.without("mauve", lacking)
    points = encoder.encode(rows)
    variety = notes.attempt("vendi", vendi, points)
    if real is None:
        lacking = "No real rows were given."
        return variety, notes.without("frechet", lacking), notes.without("mauve", lacking)
    shape = min(len(points), len(real)), points.shape[1]
    return variety, *_distances(points, _points_to_compare(encoder, real, shape), notes)


def _distances(ours: np.ndarray, theirs: np.ndarray, notes: _Notes) -> tuple[float | None, float | None]:
    """Frechet distance and MAUVE of two clouds."""
    return notes.attempt("frechet", frechet, ours, theirs), notes.attempt("mauve", mauve, ours, theirs)


def _points_to_compare(encoder: Encoder, rows: Dataset, shape: tuple[int, int]) -> np.ndarray:
    """The points of these rows, or empty ones where the smaller cloud, of this shape, is too small for either measure.

    So many rows are not encoded for measures that will be refused, or whose library is missing.
    """
    needed = [points_needed(shape[1])] + ([MAUVE_LEAST] if find_spec("mauve") else [])
    return encoder.encode(rows) if shape[0] >= min(needed) else np.empty(shape)


def _perplexity(rows: Dataset, language_model: LanguageModel | None, notes: _Notes) -> float | None:
    if language_model is None:
        return notes.without("perplexity", "No independent language model was given.")
    nll, tokens = language_model([joined(example.texts) for example in rows])
    return notes.attempt("perplexity", perplexity, nll, tokens)


def _agreement(rows: Dataset, judge: Judge | None, notes: _Notes) -> float | None:
    if judge is None:
        return notes.without("label_agreement", "No judge trained on full data was given.")
    return accuracy(judge.predict(rows), rows.labels)


def _library(module: str, measure: str, package: str) -> ModuleType:
    """An optional library, imported when a measure first needs it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ResourceError(f"{measure} needs a library that is not installed.", f"pip install {package}") from error
