"""How experiments write what they found: intervals and differences in percent, a table with the rows behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from dilm.evaluation.statistics import Difference, Summary
from dilm.reports import wording
from dilm.reports.table import NOTHING, markdown_table
from dilm.types import Score


def interval(found: Summary) -> str:
    """Both ends, or a dash where one training alone was made."""
    if found.low is None or found.high is None:
        return NOTHING
    return f"{100 * found.low:.1f} to {100 * found.high:.1f}"


def ahead(gap: Difference | None) -> str:
    """The mean and its interval; a dash for what nothing is compared with."""
    if gap is None:
        return NOTHING
    if gap.low is None or gap.high is None:
        return wording.points(gap.mean)
    return wording.gap(gap.mean, gap.low, gap.high)


def write(file: Path, about: str, names: Sequence[str], lines: Iterable[Sequence[object]], scores: list[Score]) -> None:
    """The table as `file`.md, and every score as `file`.jsonl."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table = markdown_table(about, names, (("", tuple(map(str, cells))) for cells in lines))
    file.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    rows = "".join(json.dumps(asdict(score)) + "\n" for score in scores)
    file.with_suffix(".jsonl").write_text(rows, encoding="utf-8")
