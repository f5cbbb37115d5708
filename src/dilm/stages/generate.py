"""generate: the tuned generator, and the untuned one where it is a baseline, write a pool for every set.

Where rows are anonymized, the same detectors read what is written: nothing is kept that one of them flags.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dilm.build import Bench
from dilm.data.jsonl import read_dataset, write_dataset
from dilm.distillation.generate import Flags, write_pool
from dilm.models.mixture import AnyGenerator, Mixture
from dilm.models.vllm_engine import version, written_by_vllm
from dilm.recipe import Recipe
from dilm.recipe.fields import counted
from dilm.runtime.hashing import folder_key
from dilm.runtime.meter import spent
from dilm.runtime.progress import bar
from dilm.runtime.seeding import torch_stream
from dilm.types import Dataset

SOURCES = {"dilm": "match", "untuned": "fit"}
"""Pool to the stage whose generator writes it."""
WEIGHTS = "vllm"
"""Folders in which weights lie while vLLM writes."""


def run(bench: Bench) -> dict[str, Any]:
    """Facts: for each pool, how many texts were kept and how many rejected for which reason; what ours took."""
    recipe = bench.recipe
    names = [name for name in SOURCES if name == "dilm" or asks_untuned(recipe)]
    per_class = recipe.generate.oversample * recipe.per_class
    own_sets = bench.crew.share(range(recipe.select.sets))
    total = len(names) * len(own_sets) * per_class * len(bench.task.labels)
    verdicts: dict[str, dict[str, int]] = {}
    begin, own = spent(), 0.0
    bench.crew.told(lambda: _sweep(bench.folder("generate")))
    with bar("write the pools", total) as advance:
        for name in names:
            if twin := next((other for other in verdicts if _writes_the_same(bench, other, name)), None):
                verdicts[name] = verdicts[twin]
                bench.crew.told(partial(_copy, bench, twin, name))
                advance(total // len(names))
            else:
                verdicts[name] = _write(bench, name, per_class, advance)
            own = (spent() - begin).seconds if name == "dilm" else own
    read_by = {"detectors": list(bench.panel.titles)} if bench.panel else {}
    by = {"vllm": version()} if recipe.generate.sampler == "vllm" else {}
    return {"verdicts": verdicts, "own_seconds": own, **read_by, **by}


def content(recipe: Recipe) -> list[Any]:
    """What its stage key says: how many texts are written, and how."""
    return [counted(recipe)["generate"], recipe.per_class, recipe.select.sets, asks_untuned(recipe)]


def asks_untuned(recipe: Recipe) -> bool:
    """Whether a baseline is chosen from the pool of the generator before matching."""
    return not {"untuned", "untuned_random"}.isdisjoint(recipe.evaluate.baselines)


def texts_of_each_class(recipe: Recipe) -> int:
    """How many are to be kept, of all pools together."""
    names = 1 + asks_untuned(recipe)
    return names * recipe.select.sets * recipe.generate.oversample * recipe.per_class


def pools(bench: Bench) -> list[str]:
    """The finished stage's pools."""
    return [name for name in SOURCES if _file(bench, name, 0).exists()]


def pool(bench: Bench, name: str, number: int) -> Dataset:
    """What the finished stage wrote for one set."""
    return read_dataset(_file(bench, name, number), bench.task)


def _write(bench: Bench, name: str, per_class: int, advance: Callable[[int], None]) -> dict[str, int]:
    """Processes share the sets, whose draws do not depend on each other, and all know the verdicts."""
    recipe, generator = bench.recipe, bench.generator(SOURCES[name])
    found = flags(bench, generator)
    own: dict[int, tuple[Dataset, Counter[str]]] = {}
    with _writing(bench, generator):
        for number in bench.crew.share(range(recipe.select.sets)):
            rng = torch_stream(recipe.seed, "pool", number)
            own[number] = write_pool(generator, per_class, recipe.generate.attempts, rng, advance, found)
    pools = [pool for several in bench.crew.gathered(own) for pool in several.items()]
    bench.crew.told(lambda: _keep(bench, name, {number: texts for number, (texts, _) in pools}))
    return dict(sum((counted for _, (_, counted) in pools), Counter[str]()))


@contextmanager
def _writing(bench: Bench, generator: AnyGenerator) -> Iterator[None]:
    """Within, the program writes that the recipe asks for."""
    members = generator.members if isinstance(generator, Mixture) else (generator,)
    with ExitStack() as engines:
        for place, member in enumerate(members if bench.recipe.generate.sampler == "vllm" else ()):
            folder = bench.folder("generate") / f"{WEIGHTS}-{bench.crew.rank}-{place}"
            engines.enter_context(written_by_vllm(member, folder))
        yield


def _sweep(folder: Path) -> None:
    """Away with the weights that a run left which was killed while vLLM wrote."""
    for left in folder.glob(f"{WEIGHTS}-*"):
        shutil.rmtree(left)


def flags(bench: Bench, generator: AnyGenerator | None) -> Flags | None:
    """What must not leave: what a detector flags, and the very rows that the prompt of a generator shows."""
    found = bench.panel.flags if bench.panel else None
    shown = {tuple(" ".join(text.split()) for text in texts) for texts in (generator.shown if generator else ())}
    if not shown:
        return found
    return lambda texts: texts in shown or bool(found and found(texts))


def _keep(bench: Bench, name: str, pools: Mapping[int, Dataset]) -> None:
    for number, texts in pools.items():
        write_dataset(_file(bench, name, number), texts)


def _writes_the_same(bench: Bench, one: str, other: str) -> bool:
    """Equal weights write equal texts: so it is where dev scores chose the generator as it was before matching."""
    models = [folder_key(bench.folder(SOURCES[name]) / "model") for name in (one, other)]
    return models[0] == models[1]


def _copy(bench: Bench, source: str, target: str) -> None:
    for number in range(bench.recipe.select.sets):
        shutil.copyfile(_file(bench, source, number), _file(bench, target, number))


def _file(bench: Bench, name: str, number: int) -> Path:
    return bench.folder("generate") / f"{name}-{number}.jsonl"
