"""From the recipe to its generator as a stage left it: whole, or adapters beside the weights that it began with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from dilm.models import adapters, vllm_engine
from dilm.models.adapters import Adapters
from dilm.models.causal import CausalGenerator
from dilm.models.decoders import inner, open_causal_model
from dilm.models.hub import open_tokenizer
from dilm.models.instructed import Asking, Prompted, Prompts, prompts_for
from dilm.models.mixture import AnyGenerator, Mixture
from dilm.models.sampling import Sampling
from dilm.recipe import Recipe
from dilm.recipe.fields import counted
from dilm.recipe.generator_rules import learns
from dilm.recipe.private_rules import require_mechanism
from dilm.runtime.device import Place
from dilm.runtime.seeding import derive, python_stream, seed_torch
from dilm.types import Dataset, Task

SCRATCH = "scratch"
SECTIONS = ("adapters", "instruct")
"""Of the recipe, that say how a generator is made."""


def is_scratch(name: str) -> bool:
    """Whether a model is made from the data alone."""
    return name == SCRATCH or name.startswith(SCRATCH + ":")


def peak_rate(given: float, model: str, scratch: float, pretrained: float) -> float:
    """The learning rate asked for, or where that is 0 the one that suits the kind of model."""
    return given or (scratch if is_scratch(model) else pretrained)


def named(recipe: Recipe) -> tuple[str, ...]:
    """The generators of a recipe: one, or the members of a mixture."""
    return (recipe.models.generator, *recipe.models.mixture)


def role(place: int) -> str:
    """Under which name a member that is made from scratch lies; the first is that of a single generator."""
    return f"generator-{place}" if place else "generator"


def most_learned(recipe: Recipe) -> str:
    """A pretrained generator where there is one: it decides the learning rate."""
    return next((name for name in named(recipe) if not is_scratch(name)), recipe.models.generator)


def content(recipe: Recipe) -> list[Any]:
    """What a stage key says of it: nothing where a generator is trained as a whole."""
    told = {name: counted(recipe)[name] for name in SECTIONS if name in counted(recipe)}
    return [told] if told else []


def shows_rows(recipe: Recipe) -> bool:
    """Whether real rows stand in the generator's prompt."""
    return bool(recipe.instruct.ask) and recipe.instruct.demonstrations > 0


def demonstrations(recipe: Recipe, train: Dataset) -> list[list[int]]:
    """Positions in train of the rows that prompts show, for each class: the same whoever asks."""
    found = []
    for condition in train.task.conditions:
        rows, rng = train.where(condition), python_stream(recipe.seed, "demonstrations", condition)
        found.append(rng.sample(rows, min(recipe.instruct.demonstrations, len(rows))))
    return found


@dataclass(frozen=True)
class Maker:
    """Opens the generator of one run."""

    recipe: Recipe
    task: Task
    place: Place
    start: Callable[[str, str], str]
    """Where a model that the recipe names lies, given its role."""
    train: Callable[[], Dataset]
    """The rows that demonstrations are drawn from, where there are any."""

    def opened(self, left: Path | None) -> AnyGenerator:
        """As it was left in a folder, or at its beginning."""
        if not self.recipe.models.mixture:
            return self._member(0, left)
        names = named(self.recipe)
        made = Mixture([self._member(place, left and left / str(place)) for place in range(len(names))])
        if left is not None:
            made.read_weights(left)
        return made

    def _member(self, place: int, left: Path | None) -> CausalGenerator:
        start = self.start(named(self.recipe)[place], role(place))
        if self.recipe.adapters.rank:
            generator = self._adapted(start, left, derive(self.recipe.seed, "adapters", place))
        elif left is not None and (left / "config.json").exists():
            generator = self._whole(str(left), left)
        else:
            generator = self._whole(start, left, **adapters.opening(self.recipe.adapters.base, self.place.device))
        if not learns(self.recipe):
            inner(generator.model).requires_grad_(False)
        wanted = self.recipe.generate
        generator.sampling = Sampling(
            wanted.top_p, wanted.top_k, wanted.temperature, generator.task.max_tokens, wanted.batch
        )
        if wanted.sampler == "vllm":
            vllm_engine.require(generator.model, self.place)  # before anything is trained
        return generator

    def _whole(self, name: str, left: Path | None, **options: Any) -> CausalGenerator:
        """With its prompts, where it is asked as a chat model: those that were left with it, or new ones."""
        if not self.recipe.instruct.ask:
            return CausalGenerator.open(name, self.task, self.place, **options)
        tokenizer = open_tokenizer(name)
        prompts = Prompts.read(left) if left else prompts_for(tokenizer, self.task, self._asking())
        model = Prompted(open_causal_model(name, **options), prompts)
        return CausalGenerator(model, tokenizer, self.task, self.place)

    def _asking(self) -> Asking:
        wanted = self.recipe.instruct
        if not shows_rows(self.recipe):
            return Asking(wanted.ask, wanted.system)
        require_mechanism(self.recipe, "demonstrations")
        train = self.train()
        rows = demonstrations(self.recipe, train)
        shown = [tuple(train[row] for row in several) for several in rows]
        return Asking(wanted.ask, wanted.system, tuple(shown))

    def _adapted(self, start: str, left: Path | None, seed: int) -> CausalGenerator:
        """What a model's files lack is drawn by the seed: it will be saved nowhere."""
        told = asdict(self.recipe.adapters)
        base = told.pop("base")
        with torch.random.fork_rng([self.place.device] if self.place.device.type == "cuda" else []):
            seed_torch(seed, "base")
            options = adapters.opening(base, self.place.device)
            generator = self._whole(start, left, **options)
        generator.adapt(Adapters(**told), seed)
        if left is not None:
            adapters.load(inner(generator.model), left)
        return generator
