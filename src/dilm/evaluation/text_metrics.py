"""What learners wrote beside what stands in real rows: overlap, whether answers are right, and how varied they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import zip_longest

from dilm.errors import DataError
from dilm.numerics.answers import realised, same_number
from dilm.numerics.diversity import distinct
from dilm.numerics.words import words
from dilm.types import Dataset, Task


def questions(rows: Dataset) -> dict[tuple[str, ...], list[str]]:
    """Every different input with all its targets, in the order of the rows."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        found.setdefault(row.texts[:-1], []).append(row.texts[-1])
    return found


def measured(
    task: Task, written: Mapping[tuple[str, ...], str], real: Mapping[tuple[str, ...], Sequence[str]]
) -> dict[str, float]:
    """Measures of what was written for some inputs, 0 to 1, more is better; of libraries, where they are installed.

    `bleu` and `chrf` (sacrebleu, all targets of an input as references), `rouge_l` (rouge-score), `exact_match` of the
    final number, `slots` said and `real_slots`, those that real targets say, `distinct_2` of all texts.
    """
    texts, references = list(written.values()), [list(real[asked]) for asked in written]
    if not texts:
        raise DataError("Nothing was written.", "Ask for answers to one row or more.")
    return _overlap(texts, references) | _rightness(task, written, real) | _variety(texts)


def _overlap(texts: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    found: dict[str, float] = {}
    if find_spec("sacrebleu"):
        metrics = import_module("sacrebleu.metrics")
        streams = [list(stream) for stream in zip_longest(*references)]  # None where an input has fewer
        found["bleu"] = metrics.BLEU().corpus_score(list(texts), streams).score / 100
        found["chrf"] = metrics.CHRF().corpus_score(list(texts), streams).score / 100
    if find_spec("rouge_score"):
        scorer = import_module("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
        best = [
            max(scorer.score(reference, text)["rougeL"].fmeasure for reference in several)
            for text, several in zip(texts, references, strict=True)
        ]
        found["rouge_l"] = sum(best) / len(best)
    return found


def _rightness(
    task: Task, written: Mapping[tuple[str, ...], str], real: Mapping[tuple[str, ...], Sequence[str]]
) -> dict[str, float]:
    if task.answer == "number":
        return {"exact_match": _mean([same_number(text, real[asked][0]) for asked, text in written.items()])}
    if task.answer == "slots":
        told = [realised(" ".join(asked), text) for asked, text in written.items()]
        theirs = [realised(" ".join(asked), text) for asked in written for text in real[asked]]
        return {"slots": _mean(told), "real_slots": _mean(theirs)}
    return {}


def _variety(texts: Sequence[str]) -> dict[str, float]:
    try:
        return {"distinct_2": distinct([words(text) for text in texts], 2)}
    except DataError:  # every text is a word or none, which has no variety
        return {"distinct_2": 0.0}


def _mean(values: Sequence[float]) -> float:
    return float(sum(values) / len(values))
