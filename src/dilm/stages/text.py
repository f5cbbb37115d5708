"""What the texts of a run are like: of its product, and beside it of as many random real rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dilm.build import Bench
from dilm.evaluation.contamination import HIGH, Comparison, compare
from dilm.evaluation.quality import LanguageModel, Likeness, Quality, likeness, quality
from dilm.models.linear import FrozenFeatures
from dilm.models.pairs import PairEncoder
from dilm.models.scorer import CausalScorer
from dilm.protocols import Encoder
from dilm.reports import wording
from dilm.reports.findings import Measure
from dilm.runtime.seeding import numpy_stream, python_stream
from dilm.stages.generate import pool
from dilm.types import Dataset

QUALITY = (
    ("words per text", "words_mean", "{:.1f}".format, "Mean number of words."),
    ("distinct words", "distinct_1", wording.percent, "Different words among all words: more is more varied."),
    ("distinct pairs of words", "distinct_2", wording.percent, "Different pairs among all pairs."),
    ("distinct triples of words", "distinct_3", wording.percent, "Different triples among all triples."),
    ("self-BLEU", "self_bleu", "{:.2f}".format, "How far the other texts foretell each one, 0 to 1: less is better."),
    ("Vendi score", "vendi", "{:.1f}".format, "How many different texts there are for the encoder."),
    ("repeating themselves", "repetition", wording.percent, "Texts with the same three words three times."),
    ("nearly equal to another", "near_duplicates", str, "Texts that share most of their runs of three words."),
    (
        "label agreement",
        "label_agreement",
        wording.percent,
        "Labels that a linear probe on the encoder's features, trained on all real rows, shares. "
        "The selection `typical` asks such a probe too.",
    ),
)
"""(name, field of Quality, how it is written, meaning)."""

FLUENCY = (
    "perplexity",
    "perplexity",
    "{:.0f}".format,
    "Of a token, under a language model that had no part in the run.",
)

LIKENESS = (
    (
        "Fréchet distance of the pool",
        "frechet",
        "{:.3f}".format,
        "Between the encoder's points of the texts that were chosen from and of real rows, less is closer; "
        "beside it, of other real rows.",
    ),
    (
        "MAUVE of the pool",
        "mauve",
        "{:.2f}".format,
        "The same two clouds, 0 to 1, more is closer. On this encoder's points, so not to be compared elsewhere.",
    ),
)
MOST = 4000
"""Texts of a pool, and real rows, that are enough to measure how near they are."""


def measures(bench: Bench, rows: Dataset) -> tuple[Measure, ...]:
    """Variety, labels, and what is shared with real rows; what cannot be measured says why."""
    train, test = bench.splits.train, bench.splits.test
    judge = FrozenFeatures(bench.encoder, bench.probe)
    reader = _reader(bench)
    ours = quality(rows, encoder=bench.encoder, judge=judge, language_model=reader)
    real = _as_many_real_rows(bench)
    theirs = quality(real, encoder=bench.encoder, judge=judge, language_model=reader) if real else None
    lines = (*QUALITY, FLUENCY) if reader else QUALITY
    return (
        *(_told(ours, theirs, *line) for line in lines),
        *_of_the_pool(bench),
        *_shared("train", compare(rows, train)),
        *_shared("test", compare(rows, test)),
    )


def _as_many_real_rows(bench: Bench) -> Dataset | None:
    """None where a class has too few."""
    train, per_class = bench.splits.train, bench.recipe.per_class * bench.task.packed
    if min(train.counts) < per_class:
        return None
    return bench.selector("random")(train, per_class, numpy_stream(bench.recipe.seed, "beside")).apply(train)


def _of_the_pool(bench: Bench) -> tuple[Measure, ...]:
    """How near everything that the first set was chosen from is to real rows, and how near other real rows are."""
    texts, train = pool(bench, "dilm", 0), bench.splits.train
    many = min(len(texts), len(train) // 2, MOST)
    real = train.sample(2 * many, python_stream(bench.recipe.seed, "likeness"))
    one, other = real.take(range(many)), real.take(range(many, 2 * many))
    ours = likeness(texts.sample(many, python_stream(bench.recipe.seed, "likeness", "pool")), one, cloud_by(bench))
    theirs = likeness(other, one, cloud_by(bench))
    return tuple(_told(ours, theirs, *line) for line in LIKENESS)


def cloud_by(bench: Bench) -> Encoder:
    """Whose points make the clouds: of pairs both texts in one, for distances want more texts than a point has numbers,
    and points that tell how the two relate have four times as many."""
    reader = bench.encoder.encoder
    return reader.encoder if isinstance(reader, PairEncoder) else bench.encoder


def _reader(bench: Bench) -> LanguageModel | None:
    """The language model that the recipe names: summed nlls of texts, and how many tokens they have."""
    name = bench.recipe.report.language_model
    if not name:
        return None
    scorer = CausalScorer.open(name, bench.place)
    return lambda texts: (-scorer.score([""], texts)[0], [scorer.tokens(text) for text in texts])


def _told(
    ours: Quality | Likeness,
    theirs: Quality | Likeness | None,
    name: str,
    field: str,
    written: Callable[[Any], str],
    meaning: str,
) -> Measure:
    values = [getattr(ours, field), getattr(theirs, field) if theirs else None]
    said = [None if value is None else written(value) for value in values]
    return Measure(name, said[0], said[1], meaning, ours.reasons.get(field, ""))


def _shared(split: str, found: Comparison) -> tuple[Measure, ...]:
    """What the texts have in common with the real rows of a split."""
    overlap = [found.mean_overlap, found.largest_overlap, found.high_overlap]
    mean, largest, many = (None if share is None else wording.percent(share) for share in overlap)
    nothing = "No text has words." if mean is None else ""
    return (
        Measure(
            f"word overlap with {split} rows",
            mean and f"{mean}, at most {largest}",
            None,
            "Share of a text's words that the real row nearest in words has too: mean, and of the text with most.",
            nothing,
        ),
        Measure(f"high word overlap with {split}", many, None, f"Texts whose overlap is above {HIGH:.0%}.", nothing),
        Measure(f"copies of {split} rows", str(found.copied), None, "Texts that are a real row, word for word."),
        Measure(f"nearly {split} rows", str(found.near), None, "Texts that share most runs of three words with one."),
        Measure(
            f"longest run of words from {split}",
            str(found.longest_run),
            None,
            "Words in a row, taken from one real row.",
        ),
    )
