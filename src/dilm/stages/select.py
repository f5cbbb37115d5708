"""select: the best few of every pool, and the coresets of real rows that they are measured against.

Of real rows only the positions are written down, never their text, unless `select.pool` lets them into our own sets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dilm.build import Bench
from dilm.coresets.equal_tokens import EqualTokens
from dilm.coresets.nearest_rows import NearestRows
from dilm.coresets.packed import Packed, join
from dilm.data.jsonl import read_dataset, write_dataset
from dilm.recipe.baselines import TOKENS, chooser, rows_in_one
from dilm.reports.methods import NEAREST, OURS
from dilm.runs import write_text
from dilm.runtime.meter import spent
from dilm.runtime.progress import bar
from dilm.runtime.seeding import numpy_stream, python_stream
from dilm.stages.choosing import Told, selector, undoubled
from dilm.stages.fitting import coresets
from dilm.stages.generate import SOURCES, pool, pools
from dilm.stages.rewriting import Desk
from dilm.types import Dataset, Selection

BOTH = "both"
"""The pool that has real rows in it."""
UNSELECTED = "untuned_random"
"""The baseline of random texts of the untuned generator: the paper's "vanilla LM" without the final selection."""


@dataclass(frozen=True)
class Stock:
    """What one set is chosen from."""

    rows: Dataset
    real: int = 0
    """So many of them, the first ones, are train rows; of equal texts the earlier counts, so a copy counts as real."""
    rewritten: int = 0
    """So many of them, the last ones, an instruction-tuned model made from others."""

    def places(self, chosen: Selection, texts: int) -> tuple[list[int], list[int]]:
        """Which examples of so many `texts`, counted from 0, hold train rows, and which hold rewritten ones."""
        numbered, own = list(enumerate(chosen.positions)), len(self.rows) - self.rewritten
        real = {at // texts for at, row in numbered if row < self.real}
        return sorted(real), sorted({at // texts for at, row in numbered if row >= own})


def run(bench: Bench) -> dict[str, Any]:
    """Facts: sets of each method, and what ours took without the baselines; where there is anything to tell, which
    examples are real rows, what filters removed and where they yielded, how races went. Our first set is the product.
    """
    recipe, baselines = bench.recipe, bench.recipe.evaluate.baselines
    written = {name: name for name in pools(bench)} | ({UNSELECTED: "untuned"} if UNSELECTED in baselines else {})
    of_real_rows = coresets(recipe)
    told = {name: Told() for name in (*written, *of_real_rows)}
    desk = Desk(bench)
    real, rewritten, positions = {}, {}, {}
    begin, own = spent(), 0.0
    with bar("select", len(written) * recipe.select.sets + len(of_real_rows)) as advance:
        for name, source in written.items():
            places = [_choose(desk, name, source, number, told[name]) for number in range(recipe.select.sets)]
            real[name], rewritten[name] = ([each[part] for each in places] for part in (0, 1))
            advance(recipe.select.sets)
            own = (spent() - begin).seconds if name == OURS else own
        for name in of_real_rows:
            found = _of_real_rows(bench, name, told[name])
            positions[name] = [selection.positions for selection in found]
            advance(1)
    write_text(bench.folder("select") / "real-rows.json", json.dumps(positions))
    counts = {name: len(selections) for name, selections in positions.items()}
    facts = {"sets": dict.fromkeys(written, recipe.select.sets) | counts, "own_seconds": own}
    facts |= {"packed": bench.task.packed} if bench.task.packed > 1 else {}
    return facts | ({"real": real} if recipe.select.pool == BOTH else {}) | desk.facts(rewritten) | _way(told)


def _way(told: Mapping[str, Told]) -> dict[str, Any]:
    """What there is to tell of filters and races, by method, set by set."""
    ways = {
        "filters": {name: each.filters for name, each in told.items() if each.filters},
        "races": {name: each.races for name, each in told.items() if each.races},
    }
    return {name: way for name, way in ways.items() if way}


def _choose(desk: Desk, name: str, source: str, number: int, told: Told) -> tuple[list[int], list[int]]:
    """Choose and write one set; which of its examples hold real rows, and which rewritten ones, counted from 0."""
    bench, recipe = desk.bench, desk.bench.recipe
    texts = bench.task.packed
    stock = _stock(desk, name, source, number)
    if name == UNSELECTED:
        select = undoubled(bench, "random", bench.selector("random"))
    else:
        generator = bench.generator(SOURCES[source]) if recipe.select.method == "likeliest" else None
        select = selector(bench, recipe.select.method, told, generator)
    chosen = Packed(select, texts)(stock.rows, recipe.per_class, numpy_stream(recipe.seed, "select", number))
    rows = chosen.apply(stock.rows)
    write_dataset(bench.folder("select") / f"{name}-{number}.jsonl", join(rows, texts))
    if name == OURS and texts > 1:
        write_dataset(_texts_file(bench, number), rows)
    return stock.places(chosen, texts)


def _stock(desk: Desk, name: str, source: str, number: int) -> Stock:
    """The texts of a pool, and what joins them: rewritten ones, and real rows where they are let in."""
    texts = pool(desk.bench, source, number)
    if name == UNSELECTED:
        return Stock(texts)
    new = desk.rewritten(source, number, texts)
    mixed = desk.bench.recipe.select.pool == BOTH
    stock = _with_real_rows(desk.bench, texts, number) if mixed else Stock(texts)
    return replace(stock, rows=Dataset(texts.task, (*stock.rows, *new)), rewritten=len(new)) if new else stock


def _with_real_rows(bench: Bench, texts: Dataset, number: int) -> Stock:
    """As many train rows of each class as there are texts of it, or all that there are, and these texts."""
    train, rng = bench.splits.train, python_stream(bench.recipe.seed, "real rows", number)
    real = [row for label, count in enumerate(texts.counts) for row in train.of(label).sample(count, rng)]
    return Stock(Dataset(texts.task, (*real, *texts)), len(real))


def _of_real_rows(bench: Bench, name: str, told: Told) -> list[Selection]:
    """The selections of a baseline."""
    if name.endswith(TOKENS):
        return _with_equal_tokens(bench, chooser(name), told)
    return _nearest(bench) if name == NEAREST else _from_real_rows(bench, name, told)


def _with_equal_tokens(bench: Bench, name: str, told: Told) -> list[Selection]:
    """One selection for each of our sets: as many tokens as each condition of it has, or, of classes, all together."""
    recipe, found = bench.recipe, []
    for number, texts in enumerate(synthetic_sets(bench)[OURS]):
        budget = [sum(bench.tokens(texts.of(condition))) for condition in texts.task.conditions]
        select = EqualTokens(selector(bench, name, told), bench.tokens, budget, balanced=not bench.task.writes)
        rng = numpy_stream(recipe.seed, "coreset", f"{name}{TOKENS}", number)
        found.append(select(bench.splits.train, recipe.per_class, rng))
    return found


def _from_real_rows(bench: Bench, name: str, told: Told) -> list[Selection]:
    """One selection per set; a method that another seed does not change has one."""
    recipe = bench.recipe
    select = Packed(selector(bench, chooser(name), told), rows_in_one(name, bench.task.packed))
    sets = recipe.select.sets if select.varies else 1
    streams = [numpy_stream(recipe.seed, "coreset", name, number) for number in range(sets)]
    return [select(bench.splits.train, recipe.per_class, rng) for rng in streams]


def _nearest(bench: Bench) -> list[Selection]:
    """One selection for each of our sets."""
    recipe, rng = bench.recipe, numpy_stream(bench.recipe.seed, "coreset", NEAREST)
    ours = synthetic_sets(bench)[OURS]
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
    return {name: [_shown(bench, name, rows) for rows in sets] for name, sets in positions.items()}


def _shown(bench: Bench, name: str, rows: Sequence[int]) -> Dataset:
    return join(bench.splits.train.take(rows), rows_in_one(name, bench.task.packed))


def released_texts(bench: Bench) -> Dataset:
    """The texts of the product, one by one also where several share an example."""
    file = _texts_file(bench, 0)
    return read_dataset(file, bench.task) if file.exists() else synthetic_sets(bench)[OURS][0]


def _texts_file(bench: Bench, number: int) -> Path:
    return bench.folder("select") / f"texts-of-{OURS}-{number}.jsonl"
