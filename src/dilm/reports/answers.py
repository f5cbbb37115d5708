"""What learners wrote after each method's sets, where the target is text: a table for each learner."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from dilm.reports import wording
from dilm.reports.findings import Bar, Block, Findings, blocks
from dilm.types import Score

COLUMNS = {
    "set_tokens": ("tokens of the set", lambda value: wording.count(round(value))),
    "bleu": ("BLEU", wording.percent),
    "chrf": ("chrF", wording.percent),
    "rouge_l": ("ROUGE-L", wording.percent),
    "exact_match": ("right number", wording.percent),
    "slots": ("slots said", wording.percent),
    "real_slots": ("by real targets", wording.percent),
    "distinct_2": ("distinct pairs of words", wording.percent),
    "asked": ("rows asked about", lambda value: wording.count(round(value))),
}
"""Measure to its column's name, and how it is written."""
NOTHING = "-"

Table = tuple[str, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]
"""Title, column names, (kind, cells) of every row."""


def tables(findings: Findings) -> tuple[Table, ...]:
    """Means over trials; nothing where classes are chosen."""
    return tuple(table for block in blocks(findings) if (table := _table(findings, block)))


def _table(findings: Findings, block: Block) -> Table | None:
    trials = {bar: [score for score in findings.scores if _is_of(score, bar)] for bar in block.bars}
    known = {name for scores in trials.values() for score in scores for name in score.measures}
    names = [name for name in COLUMNS if name in known]
    if not names:
        return None
    lines = tuple((bar.kind, (bar.title, *_cells(scores, names))) for bar, scores in trials.items())
    title = f"What {block.learner} wrote, {block.per_class} per condition"
    return title, ("method", "rows", "accuracy of tokens", *(COLUMNS[name][0] for name in names)), lines


def _cells(scores: Sequence[Score], names: Sequence[str]) -> tuple[str, ...]:
    right = [score.accuracy for score in scores if score.accuracy is not None]
    rows = wording.count(round(fmean(score.rows for score in scores))) if scores else NOTHING
    told = [[score.measures[name] for score in scores if name in score.measures] for name in names]
    said = (COLUMNS[name][1](fmean(values)) if values else NOTHING for name, values in zip(names, told, strict=True))
    return rows, wording.percent(fmean(right)) if right else NOTHING, *said


def _is_of(score: Score, bar: Bar) -> bool:
    return all(getattr(score, name) == getattr(bar, name) for name in ("method", "learner", "per_class"))
