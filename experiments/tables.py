"""How experiments write what they found: intervals and differences in percent, a table with the rows behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from dilm.evaluation.statistics import Difference, Summary
from dilm.types import Score


def interval(found: Summary | Difference) -> str:
    """Both ends, or a dash where one training alone was made."""
    if found.low is None or found.high is None:
        return "-"
    return f"{100 * found.low:.1f} to {100 * found.high:.1f}"


def ahead(gap: Difference | None) -> str:
    """The mean and its interval; a dash for what nothing is compared with."""
    if gap is None:
        return "-"
    return f"{100 * gap.mean:+.1f}" + ("" if gap.low is None else f" ({interval(gap)})")


def write(
    file: Path,
    about: str,
    names: Sequence[str],
    lines: Iterable[Sequence[object]],
    scores: list[Score],
    words: int = 2,
) -> None:
    """`file`.md, where the first columns are `words` and others numbers, and `file`.jsonl with every score."""
    ruler = ["---"] * words + ["--:"] * (len(names) - words)
    table = ["| " + " | ".join(map(str, cells)) + " |" for cells in (names, *lines)]
    table.insert(1, "|" + "|".join(ruler) + "|")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.with_suffix(".md").write_text("\n".join([about, "", *table]) + "\n", encoding="utf-8")
    rows = "".join(json.dumps(asdict(score)) + "\n" for score in scores)
    file.with_suffix(".jsonl").write_text(rows, encoding="utf-8")
