"""From the recipe to its generator as a stage left it: whole, or adapters beside the weights that it began with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from dilm.models import adapters
from dilm.models.adapters import Adapters
from dilm.models.causal import CausalGenerator
from dilm.models.decoders import inner
from dilm.models.sampling import Sampling
from dilm.recipe import Recipe
from dilm.recipe_fields import counted
from dilm.runtime.device import Place
from dilm.runtime.seeding import derive, seed_torch
from dilm.types import Task

SCRATCH = "scratch"
SECTIONS = ("adapters",)
"""Of the recipe, that say how a generator is made."""


def is_scratch(name: str) -> bool:
    """Whether a model is made from the data alone."""
    return name == SCRATCH or name.startswith(SCRATCH + ":")


def content(recipe: Recipe) -> list[Any]:
    """What a stage key says of it: nothing where a generator is trained as a whole."""
    told = {name: counted(recipe)[name] for name in SECTIONS if name in counted(recipe)}
    return [told] if told else []


@dataclass(frozen=True)
class Maker:
    """Opens the generator of one run."""

    recipe: Recipe
    task: Task
    place: Place
    start: Callable[[str, str], str]
    """Where a model that the recipe names lies, given its role."""

    def opened(self, left: Path | None) -> CausalGenerator:
        """As it was left in a folder, or at its beginning."""
        generator = self._one(self.start(self.recipe.models.generator, "generator"), left)
        wanted = self.recipe.generate
        generator.sampling = Sampling(
            wanted.top_p, wanted.top_k, wanted.temperature, generator.task.max_tokens, wanted.batch
        )
        return generator

    def _one(self, start: str, left: Path | None) -> CausalGenerator:
        if not self.recipe.adapters.rank:
            return CausalGenerator.open(start if left is None else str(left), self.task, self.place)
        return self._adapted(start, left)

    def _adapted(self, start: str, left: Path | None) -> CausalGenerator:
        """What a model's files lack is drawn by the seed: it will be saved nowhere."""
        told, seed = asdict(self.recipe.adapters), derive(self.recipe.seed, "adapters")
        base = told.pop("base")
        with torch.random.fork_rng([self.place.device] if self.place.device.type == "cuda" else []):
            seed_torch(seed, "base")
            options = adapters.opening(base, self.place.device)
            generator = CausalGenerator.open(start, self.task, self.place, **options)
        generator.adapt(Adapters(**told), seed)
        if left is not None:
            adapters.load(inner(generator.model), left)
        return generator
