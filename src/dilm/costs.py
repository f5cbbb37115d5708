"""What a run would roughly cost on this machine: counted multiplications against a measured rate, stage by stage.

A token costs 2 operations per weight forward, 6 with the backward pass. The rate is that of a matrix product measured
now, times what such products reach inside a model. Expect the right order, not the right minute.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from dilm.build import Bench, is_scratch
from dilm.models.hub import open_config
from dilm.models.scratch import named_size
from dilm.recipe import Recipe
from dilm.runs import Run
from dilm.stages.generate import asks_untuned

FORWARD, TRAINING = 2, 6
REACHED = 0.35
"""Share of the matrix product's rate that small batches reach in a whole model."""
SAMPLING = 6
"""Writing a token costs this many forward passes: one row at a time, then a draw from the vocabulary."""
TOKENS_PER_WORD = 1.4


@dataclass(frozen=True)
class Cost:
    """What a stage would do, and roughly how long."""

    detail: str
    seconds: float


@dataclass(frozen=True)
class Weights:
    """Multiplied weights per token of the two models."""

    generator: float
    learner: float


def estimate(recipe: Recipe, run: Run) -> dict[str, Cost]:
    """Stage name to cost. Reads the data, to know how many rows and how long; opens no model."""
    bench = Bench(run)
    count = _Count(recipe, bench, _weights(recipe))
    rate = _measured_rate(bench) * REACHED
    return {name: Cost(detail, work / rate) for name, (detail, work) in count.stages().items()}


@dataclass(frozen=True)
class _Count:
    """Operations of every stage."""

    recipe: Recipe
    bench: Bench
    weights: Weights

    def stages(self) -> dict[str, tuple[str, float]]:
        recipe, splits = self.recipe, self.bench.splits
        rows = f"{len(splits.train)} train, {len(splits.dev)} dev, {len(splits.test)} test rows"
        made = [name for name in (recipe.models.generator, recipe.models.learner) if is_scratch(name)]
        trials = self._trials()
        return {
            "load": (rows, 0.0),
            "pretrain": (f"make {', '.join(made)}" if made else "nothing: models are pretrained", self._pretrain()),
            "embed": self._embed(),
            "fit": (f"{recipe.fit.steps} steps of {recipe.fit.batch} texts", self._fit()),
            "match": (f"{recipe.match.steps} steps, {self._checks()} dev scores", self._match()),
            "generate": (f"{self._pool_rows()} texts", self._written(self._pool_rows())),
            "select": (f"{recipe.per_class} per class, {recipe.select.sets} sets", self._select()),
            "evaluate": (f"about {trials} trainings", self._evaluate(trials)),
            "report": ("page, table, card", 0.0),
        }

    @property
    def tokens(self) -> float:
        """Mean tokens of a text, all fields together."""
        sample = self.bench.splits.train.examples[:2000]
        words = fmean(sum(len(text.split()) for text in example.texts) for example in sample)
        return min(words * TOKENS_PER_WORD, self.bench.task.max_tokens)

    @property
    def classes(self) -> int:
        return len(self.bench.task.labels)

    def _learnt(self, steps: int, rows: int) -> float:
        return TRAINING * steps * rows * self.tokens * self.weights.learner

    def _read(self, rows: int) -> float:
        return FORWARD * rows * self.tokens * self.weights.learner

    def _written(self, rows: int) -> float:
        return SAMPLING * FORWARD * rows * self.tokens * self.weights.generator

    def _pretrain(self) -> float:
        wanted = self.recipe.pretrain
        return self._learnt(wanted.steps, wanted.batch) if is_scratch(self.recipe.models.learner) else 0.0

    def _fit(self) -> float:
        wanted = self.recipe.fit
        texts = wanted.steps * wanted.batch * (2 if wanted.contrast else 1)
        return TRAINING * texts * self.tokens * self.weights.generator

    def _checks(self) -> int:
        wanted = self.recipe.match
        return 1 + -(-wanted.steps // wanted.check_every) if wanted.check_every else 0

    def _match(self) -> float:
        wanted, texts = self.recipe.match, self.recipe.match.synthetic * self.classes
        step = TRAINING * texts * self.tokens * self.weights.generator + self._read(texts) + self._written(texts)
        bank = wanted.trajectories * self._learnt((wanted.ages - 1) * wanted.age_steps, self.recipe.evaluate.batch)
        small = wanted.check_per_class * self.classes
        check = self._learnt(wanted.check_steps, min(small, self.recipe.evaluate.batch)) + self._read(wanted.check_rows)
        check += self._written(small * wanted.check_oversample)
        return wanted.steps * step + bank + self._checks() * wanted.check_sets * check

    def _pool_rows(self) -> int:
        recipe = self.recipe
        pools = 1 + asks_untuned(recipe)
        return pools * recipe.select.sets * recipe.generate.oversample * recipe.per_class * self.classes

    def _embed(self) -> tuple[str, float]:
        """Forwards and backwards through every unrolled step: about twice a plain training of as many."""
        wanted = self.recipe.embed
        if {"tdd", "tdd_text"}.isdisjoint(self.recipe.evaluate.baselines):
            return "nothing: no baseline asks for it", 0.0
        unrolled = 2 * self._learnt(wanted.unroll, wanted.per_step * self.classes)
        return f"{wanted.steps} updates", wanted.steps * (unrolled + self._learnt(1, wanted.batch))

    def _select(self) -> float:
        return self._read(self._pool_rows() + len(self.bench.splits.train))

    def _trials(self) -> int:
        wanted = self.recipe.evaluate
        arms = 1 + sum(name != "full" for name in wanted.baselines) + 4 * wanted.robust
        return arms * self.recipe.select.sets * wanted.seeds * len(wanted.learners)

    def _evaluate(self, trials: int) -> float:
        wanted = self.recipe.evaluate
        small = min(wanted.batch, self.recipe.per_class * self.classes)
        trial = self._learnt(wanted.steps, small) + self._read(len(self.bench.splits.test))
        full = self._learnt(wanted.full_steps, wanted.batch) if "full" in wanted.baselines else 0.0
        return trials * trial + len(wanted.learners) * full


def _weights(recipe: Recipe) -> Weights:
    models, vocabulary = recipe.models, recipe.pretrain.vocabulary
    size = models.generator.partition(":")[2] if is_scratch(models.generator) else ""
    writer = (
        _scratch_weights(size) + vocabulary * named_size(size).width if size else _config_weights(models.generator, 1)
    )
    learner = _scratch_weights(recipe.pretrain.learner_size) if is_scratch(models.learner) else 0
    return Weights(writer, learner or _config_weights(models.learner, 0))


def _scratch_weights(size: str) -> float:
    shape = named_size(size)
    return 12.0 * shape.layers * shape.width**2


def _config_weights(name: str, vocabulary_layers: int) -> float:
    """Twelve squared widths a layer, and the vocabulary layer where there is one; read from the model's config."""
    config: Any = open_config(name)
    width, layers = config.hidden_size, config.num_hidden_layers
    return 12.0 * layers * width**2 + vocabulary_layers * config.vocab_size * width


def _measured_rate(bench: Bench, size: int = 768) -> float:
    """Operations per second of a float32 matrix product here, the best of a few."""
    left = torch.rand(size, size, device=bench.place.device)
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        (left @ left).sum().item()
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / min(times)
