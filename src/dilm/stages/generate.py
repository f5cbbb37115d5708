"""generate: the tuned generator, and the untuned one where it is a baseline, write a pool for every set."""

from __future__ import annotations

from collections import Counter
from typing import Any

from dilm.build import Bench
from dilm.data.jsonl import write_dataset
from dilm.distillation.generate import write_pool
from dilm.runtime.progress import bar
from dilm.runtime.seeding import torch_stream

SOURCES = {"dilm": "match", "untuned": "fit"}
"""Pool to the stage whose generator writes it."""


def run(bench: Bench) -> dict[str, Any]:
    """Facts: for each pool, how many texts were kept and how many rejected for which reason."""
    recipe = bench.recipe
    names = [name for name in SOURCES if name == "dilm" or name in recipe.evaluate.baselines]
    per_class = recipe.generate.oversample * recipe.per_class
    total = len(names) * recipe.select.sets * per_class * len(bench.task.labels)
    verdicts: dict[str, Counter[str]] = {}
    with bar("write the pools", total) as advance:
        for name in names:
            generator = bench.generator(SOURCES[name])
            verdicts[name] = Counter()
            for number in range(recipe.select.sets):
                rng = torch_stream(recipe.seed, "pool", number)
                pool, counted = write_pool(generator, per_class, recipe.generate.attempts, rng, advance)
                write_dataset(bench.folder("generate") / f"{name}-{number}.jsonl", pool)
                verdicts[name] += counted
    return {"verdicts": {name: dict(counted) for name, counted in verdicts.items()}}
