"""How experiments write what they found: intervals and differences, a table with the rows behind it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from dilm.evaluation.statistics import Difference, Summary, paired, summarise
from dilm.reports.scales import Scale, scale
from dilm.reports.table import NOTHING, markdown_table
from dilm.runtime.seeding import numpy_stream
from dilm.types import Score

PERCENT = scale("accuracy")


def compared(scores: list[Score], base: str, by: Scale = PERCENT) -> Iterator[tuple[Summary, Difference | None]]:
    """Every method and learner, and how far the method is ahead of `base` with that learner; None for `base` itself
    and where it was not measured."""
    most = 1.0 if by.sign > 0 else math.inf
    for each in summarise(scores, numpy_stream(0, "statistics"), most):
        same = [score for score in scores if score.learner == each.learner]
        beside = each.method != base and any(score.method == base for score in same)
        yield each, paired(same, each.method, base, numpy_stream(0, each.method)) if beside else None


def mean(found: Summary, by: Scale = PERCENT) -> str:
    """Without its unit."""
    return by.number(found.mean)


def interval(found: Summary, by: Scale = PERCENT) -> str:
    """Both ends, or a dash where one training alone was made."""
    if found.low is None or found.high is None:
        return NOTHING
    return f"{by.number(found.low)} to {by.number(found.high)}"


def ahead(gap: Difference | None, by: Scale = PERCENT) -> str:
    """How much better, and its interval; a dash for what nothing is compared with."""
    if gap is None:
        return NOTHING
    if gap.low is None or gap.high is None:
        return by.ahead(by.sign * gap.mean)
    low, high = sorted((by.sign * gap.low, by.sign * gap.high))
    return by.gap(by.sign * gap.mean, low, high)


def write(file: Path, about: str, names: Sequence[str], lines: Iterable[Sequence[object]], scores: list[Score]) -> None:
    """The table as `file`.md, and every score as `file`.jsonl."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table = markdown_table(about, names, (("", tuple(map(str, cells))) for cells in lines))
    file.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    rows = "".join(json.dumps(asdict(score)) + "\n" for score in scores)
    file.with_suffix(".jsonl").write_text(rows, encoding="utf-8")
