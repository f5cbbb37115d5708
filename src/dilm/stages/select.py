"""select: the best few of every pool, and the coresets of real rows that they are measured against.

Of real rows only the positions are written down, never their text.
"""

from __future__ import annotations

import json
from typing import Any

from dilm.build import Bench
from dilm.coresets.distinct import Distinct
from dilm.coresets.nearest_rows import NearestRows
from dilm.data.jsonl import read_dataset, write_dataset
from dilm.models.causal import CausalGenerator
from dilm.protocols import Selector
from dilm.recipe_rules import SELECTORS
from dilm.runs import write_text
from dilm.runtime.meter import spent
from dilm.runtime.progress import bar
from dilm.runtime.seeding import numpy_stream
from dilm.stages.generate import SOURCES, pool, pools
from dilm.types import Dataset, Selection

NEAREST = "nearest"
"""The baseline of the real rows that are nearest to ours."""
UNSELECTED = "untuned_random"
"""The baseline of random texts of the untuned generator: the paper's "vanilla LM" without the final selection."""


def run(bench: Bench) -> dict[str, Any]:
    """Facts: sets of each method, and what ours took without the baselines. The first of them is the run's product."""
    recipe = bench.recipe
    baselines = recipe.evaluate.baselines
    written = {name: name for name in pools(bench)} | ({UNSELECTED: "untuned"} if UNSELECTED in baselines else {})
    coresets = [name for name in baselines if name in (*SELECTORS, NEAREST)]
    begin, own = spent(), 0.0
    with bar("select", len(written) * recipe.select.sets + len(coresets)) as advance:
        for name, source in written.items():
            for number in range(recipe.select.sets):
                chosen = _from_pool(bench, source, number, "random" if name == UNSELECTED else recipe.select.method)
                write_dataset(bench.folder("select") / f"{name}-{number}.jsonl", chosen)
                advance(1)
            own = (spent() - begin).seconds if name == "dilm" else own
        positions = {}
        for name in coresets:
            found = _nearest(bench) if name == NEAREST else _from_real_rows(bench, name)
            positions[name] = [selection.positions for selection in found]
            advance(1)
    write_text(bench.folder("select") / "real-rows.json", json.dumps(positions))
    counts = {name: len(selections) for name, selections in positions.items()}
    return {"sets": dict.fromkeys(written, recipe.select.sets) | counts, "own_seconds": own}


def _from_pool(bench: Bench, source: str, number: int, method: str) -> Dataset:
    recipe, texts = bench.recipe, pool(bench, source, number)
    generator = bench.generator(SOURCES[source]) if method == "likeliest" else None
    select = _selector(bench, method, generator)
    return select(texts, recipe.per_class, numpy_stream(recipe.seed, "select", number)).apply(texts)


def _from_real_rows(bench: Bench, name: str) -> list[Selection]:
    """One selection per set; a method that another seed does not change has one."""
    recipe = bench.recipe
    select = _selector(bench, name)
    sets = recipe.select.sets if select.varies else 1
    streams = [numpy_stream(recipe.seed, "coreset", name, number) for number in range(sets)]
    return [select(bench.splits.train, recipe.per_class, rng) for rng in streams]


def _selector(bench: Bench, method: str, generator: CausalGenerator | None = None) -> Selector | Distinct:
    """By name; the recipe's own method without near-duplicates where they are unwanted, from real rows too."""
    select, wanted = bench.selector(method, generator), bench.recipe.select
    if method != wanted.method or wanted.duplicates == 1:
        return select
    return Distinct(bench.encoder, select, wanted.duplicates)


def _nearest(bench: Bench) -> list[Selection]:
    """One selection for each of our sets."""
    recipe, rng = bench.recipe, numpy_stream(bench.recipe.seed, "coreset", NEAREST)
    ours = synthetic_sets(bench)["dilm"]
    return [NearestRows(bench.encoder, texts)(bench.splits.train, recipe.per_class, rng) for texts in ours]


def synthetic_sets(bench: Bench) -> dict[str, list[Dataset]]:
    """The finished stage's synthetic sets, by method."""
    found: dict[str, list[Dataset]] = {}
    for name in (*SOURCES, UNSELECTED):
        files = sorted(bench.folder("select").glob(f"{name}-*.jsonl"), key=lambda file: int(file.stem.split("-")[-1]))
        if files:
            found[name] = [read_dataset(file, bench.task) for file in files]
    return found


def real_sets(bench: Bench) -> dict[str, list[Dataset]]:
    """The finished stage's coresets of real rows, by method."""
    positions = json.loads((bench.folder("select") / "real-rows.json").read_text(encoding="utf-8"))
    return {name: [bench.splits.train.take(rows) for rows in sets] for name, sets in positions.items()}
