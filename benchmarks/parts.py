"""What training gains from quicker parts: each stage's steps with the parts that transformers makes, and with ours.

    .venv/bin/python benchmarks/parts.py --size mini --precision bf16 --threads 2 --json

The parts are dropout, attention and GPT-2's activation (`dilm/models/quick.py`). The steps are those of limit.py, of
models with random weights; their order alternates between rounds, and the figure is the median of the ratios within a
round, after one that warms up.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gauges
import limit
import output

from dilm.runtime.device import Place

TRAINING = ("pretrain", "life", "fit", "match", "evaluate")
ROUNDS = 9


def main() -> None:
    given, place = limit.asked(__doc__, "mini")
    with tempfile.TemporaryDirectory() as folder:
        works = roads(given.size, Path(folder), place)
        found = [measured(name, works, gauges.clock(place.device)) for name in TRAINING]
    facts = {"size": given.size, "threads": given.threads, "device": str(place.device), "bf16": place.bf16}
    output.tell(given, facts | {"stages": found}, told(facts, found))


def roads(size: str, folder: Path, place: Place) -> dict[str, dict[str, Callable[[], object]]]:
    """The work of every stage, with either kind of parts."""
    with gauges.as_made():
        theirs = limit.stages(size, folder / "theirs", place)
    return {"theirs": theirs, "ours": limit.stages(size, folder / "ours", place)}


def measured(stage: str, works: dict[str, dict[str, Callable[[], object]]], now: Callable[[], float]) -> dict[str, Any]:
    """Milliseconds on either of two roads, and how many times as quick the second is."""
    taken: dict[str, list[float]] = {road: [] for road in works}
    for turn in range(ROUNDS + 1):
        for road in gauges.in_turn(list(works), turn):
            taken[road].append(gauges.seconds(works[road][stage], now))
    theirs, ours = (seconds[1:] for seconds in taken.values())
    times = output.spread([one / other for one, other in zip(theirs, ours, strict=True)])
    milliseconds = {f"{road}, ms": round(1000 * statistics.median(taken[road][1:]), 1) for road in works}
    return {"stage": stage, **milliseconds, "times: median, least, most": times}


def told(facts: dict[str, Any], found: list[dict[str, Any]]) -> str:
    """The figures in Markdown."""
    about = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"{about}\n\n{output.table(list(found[0]), [list(row.values()) for row in found])}"


if __name__ == "__main__":
    main()
