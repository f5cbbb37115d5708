"""What training on a processor gains where freed memory stays with the process (`dilm.runtime.memory.keep_pages`).

    .venv/bin/python benchmarks/pages.py --size small --precision bf16 --threads 1 --record pages-small

Steps as in parts.py, of models with random weights; those of `fit` once more with a vocabulary as large as BERT's;
and ten steps of a learner on twenty rows of 128 tokens. How memory is kept holds for a whole process, so each
measurement is of a process of its own, in turn with and without; the figure is the median of the ratios within a
round. `pages` are those that the system had to find during the work, thousands; `megabytes` the most that the process
held.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gauges
import limit
import output
import torch
from parts import TRAINING

from dilm.data.load import load
from dilm.distillation.fit import Lessons, fit
from dilm.evaluation.finetune import finetune
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.runtime.device import Place
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset, Example

ROADS = ("returned", "kept")
"""As glibc has it, and as dilm does."""
LONG, TOKENS = "evaluate, long texts", 128
WIDE, WORDS = "fit, 30,522 words", 30_522
ROUNDS, TURNS = 5, 4
"""Rounds, and how often each work is done in one process, after once that warms up."""
PART = "DILM_PAGES"
"""In the environment of a process that measures: which road."""
AS_IT_IS = {"MALLOC_ARENA_TEST": "8"}
"""What glibc does anyway; dilm leaves an allocator alone that was told anything."""


def main() -> None:
    given, place = limit.asked(__doc__, "mini")
    if PART in os.environ:
        print(json.dumps(one_process(given.size, place)))
        return
    found = [{road: measured(road) for road in gauges.in_turn(list(ROADS), turn)} for turn in range(ROUNDS)]
    rows = [compared(stage, found) for stage in found[0]["kept"] if stage != "megabytes"]
    most = {road: statistics.median(each[road]["megabytes"] for each in found) for road in ROADS}
    facts = {"size": given.size, "threads": given.threads, "bf16": place.bf16, "megabytes": most}
    about = ", ".join(f"{name} {value}" for name, value in facts.items())
    table = output.table(list(rows[0]), [list(row.values()) for row in rows])
    output.tell(given, facts | {"stages": rows}, f"{about}\n\n{table}")


def measured(road: str) -> dict[str, Any]:
    """What a process of its own tells."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    environment = alone | {PART: road} | (AS_IT_IS if road == "returned" else {})
    told = subprocess.run([sys.executable, *sys.argv], env=environment, capture_output=True, text=True, check=True)
    return json.loads(told.stdout.splitlines()[-1])


def one_process(size: str, place: Place) -> dict[str, Any]:
    """Seconds and thousands of pages of each work, and megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        works = limit.stages(size, Path(folder), place)
        asked = {name: works[name] for name in TRAINING} | {
            WIDE: wide_steps(Path(folder), place),
            LONG: long_steps(Path(folder), place),
        }
        found = {name: timed(work) for name, work in asked.items()}
    return {**found, "megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def wide_steps(folder: Path, place: Place) -> Callable[[], object]:
    """Two, of the generator of those stages with as many words as BERT knows."""
    train = load("toy").train
    generator = CausalGenerator.open(str(folder / "generator"), train.task, place)
    generator.model.resize_token_embeddings(WORDS, mean_resizing=False)
    update, lessons = AdamW(generator.parameters(), Schedule(1000, 1e-6)), Lessons(train, 64, 0.5, 0)
    return lambda: list(fit(generator, lessons, update, range(2)))


def long_steps(folder: Path, place: Place) -> Callable[[], object]:
    """Of the learner of those stages, on rows as long as several texts in one."""
    text = " ".join(["good"] * TOKENS)
    task = load("toy").train.task
    rows = Dataset(task, [Example((text,), number % len(task.labels)) for number in range(20)])
    learner = Classifier.open(str(folder / "learner"), task, place, TOKENS)
    return lambda: finetune(learner, rows, Schedule(10, 1e-4), 64, 0)


def timed(work: Callable[[], object]) -> dict[str, float]:
    """The median over turns; the first warms up."""
    now = gauges.clock(torch.device("cpu"))
    work()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    seconds = [gauges.seconds(work, now) for _ in range(TURNS)]
    pages = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / TURNS / 1000
    return {"seconds": statistics.median(seconds), "pages": round(pages, 1)}


def compared(stage: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Milliseconds and pages on either road, and how many times as quick a process is that keeps its pages."""
    returned, kept = ([each[road][stage]["seconds"] for each in found] for road in ROADS)
    pages = {f"pages {road}": statistics.median(each[road][stage]["pages"] for each in found) for road in ROADS}
    times = output.spread([one / other for one, other in zip(returned, kept, strict=True)])
    taken = zip(ROADS, (returned, kept), strict=True)
    milliseconds = {f"{road}, ms": round(1000 * statistics.median(each), 1) for road, each in taken}
    return {"stage": stage, **milliseconds, **pages, "times: median, least, most": times}


if __name__ == "__main__":
    main()
