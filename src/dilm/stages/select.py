"""select: the best few of every pool, and the coresets of real rows that they are measured against.

Of real rows only the positions are written down, never their text.
"""

from __future__ import annotations

import json
from typing import Any

from dilm.build import Bench
from dilm.data.jsonl import read_dataset, write_dataset
from dilm.protocols import Selector
from dilm.recipe_rules import SELECTORS
from dilm.runs import write_text
from dilm.runtime.progress import bar
from dilm.runtime.seeding import numpy_stream
from dilm.stages.generate import SOURCES
from dilm.types import Dataset, Selection


def run(bench: Bench) -> dict[str, Any]:
    """Facts: sets of each method. The first synthetic set is the run's product."""
    recipe = bench.recipe
    pools = [name for name in SOURCES if (bench.folder("generate") / f"{name}-0.jsonl").exists()]
    coresets = [name for name in recipe.evaluate.baselines if name in SELECTORS]
    with bar("select", len(pools) * recipe.select.sets + len(coresets)) as advance:
        for name in pools:
            for number in range(recipe.select.sets):
                write_dataset(bench.folder("select") / f"{name}-{number}.jsonl", _from_pool(bench, name, number))
                advance(1)
        positions = {}
        for name in coresets:
            positions[name] = [selection.positions for selection in _from_real_rows(bench, name)]
            advance(1)
    write_text(bench.folder("select") / "real-rows.json", json.dumps(positions))
    return {"sets": dict.fromkeys(pools, recipe.select.sets) | {name: len(found) for name, found in positions.items()}}


def _from_pool(bench: Bench, name: str, number: int) -> Dataset:
    recipe = bench.recipe
    pool = read_dataset(bench.folder("generate") / f"{name}-{number}.jsonl", bench.task)
    generator = bench.generator(SOURCES[name]) if recipe.select.method == "likeliest" else None
    select = bench.selector(recipe.select.method, generator)
    return select(pool, recipe.per_class, numpy_stream(recipe.seed, "select", number)).apply(pool)


def _from_real_rows(bench: Bench, name: str) -> list[Selection]:
    """One selection per set; a method that another seed does not change has one."""
    recipe = bench.recipe
    select: Selector = bench.selector(name)
    sets = recipe.select.sets if select.varies else 1
    streams = [numpy_stream(recipe.seed, "coreset", name, number) for number in range(sets)]
    return [select(bench.splits.train, recipe.per_class, rng) for rng in streams]


def synthetic_sets(bench: Bench) -> dict[str, list[Dataset]]:
    """The finished stage's synthetic sets, by method."""
    found: dict[str, list[Dataset]] = {}
    for name in SOURCES:
        files = sorted(bench.folder("select").glob(f"{name}-*.jsonl"), key=lambda file: int(file.stem.split("-")[-1]))
        if files:
            found[name] = [read_dataset(file, bench.task) for file in files]
    return found


def real_sets(bench: Bench) -> dict[str, list[Dataset]]:
    """The finished stage's coresets of real rows, by method."""
    positions = json.loads((bench.folder("select") / "real-rows.json").read_text(encoding="utf-8"))
    return {name: [bench.splits.train.take(rows) for rows in sets] for name, sets in positions.items()}
