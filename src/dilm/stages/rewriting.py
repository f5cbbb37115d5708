"""What an instruction-tuned model makes of a pool's best texts: kept beside the sets, so that it is asked once."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dilm import generators
from dilm.build import Bench
from dilm.data.jsonl import read_dataset, write_dataset
from dilm.distillation.rewriting import Rewriting, rewrite
from dilm.models.assistants import LocalAssistant, ServedAssistant
from dilm.models.connection import Manners
from dilm.models.endpoint import Endpoint
from dilm.models.hub import identity
from dilm.protocols import Assistant
from dilm.recipe import Recipe
from dilm.recipe.rewriting_rules import asked
from dilm.runs import cache_folder, write_text
from dilm.runtime.seeding import derive, numpy_stream, python_stream
from dilm.stages.generate import SOURCES, flags
from dilm.types import Dataset


def wanted(recipe: Recipe) -> bool:
    """Whether texts of the pools are rewritten."""
    return bool(recipe.rewrite.model)


def content(recipe: Recipe) -> list[Any]:
    """What a stage key says of it: nothing where it is off; of a model that is opened here its content."""
    model = recipe.rewrite.model
    return (
        [asdict(recipe.rewrite) | {"model": model if asked(model).url else identity(model)}] if wanted(recipe) else []
    )


class Desk:
    """Where texts of one selection are rewritten; the model is opened when it is first asked."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.verdicts: dict[str, list[dict[str, int]]] = {}
        """Of every answer, by the pool's name, set by set."""

    def rewritten(self, source: str, number: int, texts: Dataset) -> Dataset:
        """What joins the texts of a pool: nothing where nothing is asked for."""
        if not wanted(self.bench.recipe):
            return Dataset(texts.task, ())
        file = self.bench.folder("select") / f"rewritten-{source}-{number}.jsonl"
        told = file.with_suffix(".json")
        if not told.exists():
            self._write(file, told, source, number, texts)
        self.verdicts.setdefault(source, []).append(json.loads(told.read_text(encoding="utf-8")))
        return read_dataset(file, texts.task)

    def facts(self, chosen: dict[str, list[list[int]]]) -> dict[str, Any]:
        """Who was asked, what became of the answers, and which examples of our sets they are."""
        if not wanted(self.bench.recipe):
            return {}
        model = asked(self.bench.recipe.rewrite.model)
        name = model.model if model.url or not Path(model.model).is_dir() else Path(model.model).resolve().name
        return {"rewritten": {"model": name, "verdicts": self.verdicts, "chosen": chosen}}

    def _write(self, file: Path, told: Path, source: str, number: int, texts: Dataset) -> None:
        """The verdicts last: where they are, nothing is asked again."""
        recipe, ask = self.bench.recipe, self._ask
        rng = numpy_stream(recipe.seed, "rewrite", number)
        best = self.bench.selector(recipe.rewrite.best)(texts, ask.needed, rng).apply(texts)
        best = best.sample(len(best), python_stream(recipe.seed, "rewrite", number))
        generator = self.bench.generator(SOURCES[source]) if generators.shows_rows(recipe) else None
        found, verdicts = rewrite(self._assistant, ask, best, texts, flags(self.bench, generator))
        write_dataset(file, found)
        write_text(told, json.dumps(dict(verdicts)))

    @property
    def _ask(self) -> Rewriting:
        recipe, said = self.bench.recipe, self.bench.recipe.rewrite
        all_of_it = Rewriting(
            said.rewriting, said.merging, said.texts, said.temperature, derive(recipe.seed, "rewrite")
        )
        unasked = {"rewrite": {"merging": ""}, "merge": {"rewriting": ""}, "both": {}}
        return replace(all_of_it, **unasked[said.ask])

    @cached_property
    def _assistant(self) -> Assistant:
        recipe, model = self.bench.recipe, asked(self.bench.recipe.rewrite.model)
        if not model.url:
            return LocalAssistant.open(model.model, self.bench.place)
        endpoint = Endpoint(model.url, model.model, model.route)
        return ServedAssistant(endpoint, cache_folder() / "answers.sqlite", Manners(**asdict(recipe.server)))
