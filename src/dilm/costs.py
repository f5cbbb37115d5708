"""What a run would roughly cost on this machine, stage by stage: time and memory, counted from the models' shapes.

A token costs 2 operations per weight forward, 6 with the backward pass. The rate is that of a matrix product measured
now, times what such products reach inside a model. Memory is that of the weights, their gradients and moments, and of
what a step keeps for its backward pass. Expect the right order, not the right minute or megabyte.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from dilm.build import Bench
from dilm.coresets.raced import trainings
from dilm.generators import is_scratch, named
from dilm.models.pairs import BLOCKS
from dilm.models.pieces import tokens_at_once
from dilm.models.shapes import Company, Shape, opened, small
from dilm.recipe import Recipe
from dilm.recipe.learners import learning
from dilm.recipe.matched import matched
from dilm.runtime.memory import peak_mb
from dilm.runtime.optimize import AT_ONCE
from dilm.schedules import fit_steps
from dilm.stages import embed
from dilm.stages.choosing import RACED
from dilm.stages.generate import asks_untuned

FORWARD, TRAINING = 2, 6
REACHED = 0.35
"""Share of the matrix product's rate that small batches reach in a whole model."""
SAMPLING = 6
"""Writing a token costs this many forward passes: one row at a time, then a draw from the vocabulary."""
TOKENS_PER_WORD = 1.4
LIBRARIES = 200
"""MB that torch, transformers and scikit-learn take once models have run."""
MEGA = 2**20


@dataclass(frozen=True)
class Cost:
    """What a stage would do, and roughly how long."""

    detail: str
    seconds: float
    megabytes: float
    """Of the largest process, with what Python and its libraries take."""


@dataclass(frozen=True)
class Shapes:
    """Of the models."""

    generator: Company
    learner: Shape
    encoder: Shape
    matched: tuple[Shape, ...]
    """Learners turn by turn."""
    held: tuple[Shape, ...]
    """Of them, those that are not the recipe's own, each once."""


def estimate(bench: Bench) -> dict[str, Cost]:
    """Stage name to cost. Reads the data, to know how many rows and how long; opens no model."""
    count = _Count(bench.recipe, bench, _shapes(bench.recipe))
    stages, held = count.stages(), count.held()
    rate, now = _measured_rate(bench) * REACHED, peak_mb()  # with the data, and without any model
    return {
        name: Cost(detail, work / rate, now + (held[name] / MEGA + LIBRARIES if held.get(name) else 0.0))
        for name, (detail, work) in stages.items()
    }


@dataclass(frozen=True)
class _Count:
    """Operations of every stage."""

    recipe: Recipe
    bench: Bench
    shapes: Shapes

    def stages(self) -> dict[str, tuple[str, float]]:
        recipe, splits = self.recipe, self.bench.splits
        rows = f"{len(splits.train)} train, {len(splits.dev)} dev, {len(splits.test)} test rows"
        made = [name for name in (*named(recipe), *_learners(recipe)) if is_scratch(name)]
        trials = self._trials()
        return {
            "load": (rows, 0.0),
            "pretrain": (f"make {', '.join(made)}" if made else "nothing: models are pretrained", self._pretrain()),
            "embed": self._embed(),
            "fit": (f"{fit_steps(recipe, len(splits.train))} steps of {recipe.fit.batch} texts", self._fit()),
            "match": (self._matching(), self._match()),
            "generate": (f"{self._pool_rows()} texts", self._written(self._pool_rows())),
            "select": (f"{recipe.per_class} per class, {recipe.select.sets} sets", self._select()),
            "audit": (f"{2 * self._audited()} rows, 1 training", self._attacked()),
            "evaluate": (f"about {trials} trainings", self._evaluate(trials)),
            "report": ("page, table, card", 0.0),
        }

    def held(self) -> dict[str, float]:
        """Bytes that a stage needs at its worst, beside data and libraries."""
        recipe, generator, learner = self.recipe, self.shapes.generator, self.shapes.learner
        warmed = replace(learner, vocabulary=learner.words)  # it guesses masked words
        encoder = 4 * self.shapes.encoder.weights
        wide = self.shapes.encoder.width * (BLOCKS if self.bench.task.is_pair else 1)
        points = 12.0 * wide * len(self.bench.splits.train)  # and in double precision for a probe
        unrolled = recipe.embed.unroll * recipe.embed.per_step * self.classes + recipe.embed.batch
        beside = sum((4 + self._copied) * each.weights for each in self.shapes.held)
        others = bool(recipe.match.check_every) + bool(recipe.match.reward)  # learners of their own
        eldest = max(map(self._training, (learner, *self.shapes.held)))
        matched = generator.training(self._kept(recipe.match.synthetic))
        writers = 1 + (recipe.generate.sampler == "vllm")  # which holds the weights once more
        return {
            "pretrain": warmed.training(self._together(recipe.pretrain.batch) * self.tokens) if self._warms else 0.0,
            "embed": learner.training(2 * unrolled * self.tokens) if embed.wanted(recipe) else 0.0,
            "fit": generator.training(self._fitted() / len(generator.members)),
            "match": matched + eldest + beside + encoder + points + (4 + self._copied) * learner.weights * others,
            "generate": generator.writing(recipe.generate.batch, self.bench.task.max_tokens) * writers,
            "select": encoder + points,
            "evaluate": self._training(learner, self.bench.task.packed),
            "audit": max(self._training(learner), generator.writing(recipe.generate.batch, self.tokens)) + encoder,
        }

    def _training(self, learner: Shape, texts: int = 1) -> float:
        """Of a learner, and of a copy of its weights, with so many texts in an example."""
        tokens = self._together(self.recipe.evaluate.batch) * self.tokens * texts
        return self._copied * learner.weights + learner.training(tokens)

    @property
    def _copied(self) -> int:
        """Bytes of a weight as its learner was opened, to which that is reset; with `recompute` they are in a file."""
        return 0 if self.recipe.runtime.recompute else 4

    def _fitted(self) -> float:
        """Tokens of a step of fit of which activations are kept; in a mixture each member has its share of them."""
        return self._kept(self._together(self.recipe.fit.batch) * (1 + bool(self.recipe.fit.contrast)))

    def _together(self, rows: int) -> int:
        """Of a batch, the rows whose graph is kept at a time."""
        return min(rows, AT_ONCE.get(self.bench.place.device.type, rows))

    def _kept(self, texts: int) -> float:
        """Tokens of a generator's texts of which activations are kept: with `recompute` those of one piece."""
        tokens = texts * self.tokens
        return min(tokens, tokens_at_once(self.bench.place)) if self.recipe.runtime.recompute else tokens

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
        return TRAINING * steps * rows * self.tokens * self.shapes.learner.multiplied

    def _read(self, rows: int) -> float:
        return FORWARD * rows * self.tokens * self.shapes.learner.multiplied

    def _written(self, rows: int) -> float:
        return SAMPLING * FORWARD * rows * self.tokens * self.shapes.generator.shared

    def _pretrain(self) -> float:
        wanted = self.recipe.pretrain
        return self._learnt(wanted.steps, wanted.batch) if self._warms else 0.0

    def _fit(self) -> float:
        wanted, steps = self.recipe.fit, fit_steps(self.recipe, len(self.bench.splits.train))
        texts = steps * wanted.batch * (1 + bool(wanted.contrast))
        return TRAINING * texts * self.tokens * self.shapes.generator.shared

    def _checks(self) -> int:
        wanted = self.recipe.match
        return 1 + -(-wanted.steps // wanted.check_every) if wanted.check_every else 0

    def _matching(self) -> str:
        wanted, others = self.recipe.match, self.recipe.match.learners
        turns = f" of {len(others)} learners in turn" if others else ""
        return f"{wanted.steps} steps{turns}, {self._checks()} dev scores"

    def _match(self) -> float:
        wanted, texts = self.recipe.match, self.recipe.match.synthetic * self.classes
        taught = TRAINING * texts * (1 + bool(wanted.lm_lambda)) * self.tokens * self.shapes.generator.multiplied
        own, turns = self.shapes.learner, self.shapes.matched
        read = self._read(texts) * fmean(each.multiplied for each in turns) / own.multiplied
        step = taught + read + self._written(texts) + self._covered(texts)
        life = self._learnt((wanted.ages - 1) * wanted.age_steps, self.recipe.evaluate.batch)
        grown = (*self.shapes.held, *([own] if own in turns else []))
        bank = wanted.trajectories * life * sum(each.multiplied for each in grown) / own.multiplied
        small = wanted.check_per_class * self.classes
        check = self._learnt(wanted.check_steps, min(small, self.recipe.evaluate.batch)) + self._read(wanted.check_rows)
        check += self._written(small * wanted.check_oversample)
        return wanted.steps * step + bank + self._checks() * wanted.check_sets * check + self._rewards()

    def _rewards(self) -> float:
        wanted = self.recipe.match
        texts = min(wanted.check_per_class, wanted.synthetic // 2) * self.classes
        one = self._learnt(wanted.reward_steps, min(texts, self.recipe.evaluate.batch)) + self._read(wanted.reward_rows)
        return -(-wanted.steps // wanted.reward_every) * wanted.reward_sets * one if wanted.reward else 0.0

    def _covered(self, texts: int) -> float:
        """Reading proposals under every condition, where coverage is asked for."""
        wanted = self.recipe.generation if self.bench.task.writes else self.recipe.match
        return bool(wanted.coverage) * FORWARD * texts * self.classes * self.tokens * self.shapes.generator.multiplied

    def _pool_rows(self) -> int:
        wanted, pools = self.recipe, 1 + asks_untuned(self.recipe)
        return pools * wanted.select.sets * wanted.generate.oversample * wanted.per_class * self.classes

    @property
    def _warms(self) -> bool:
        return any(map(is_scratch, _learners(self.recipe)))

    def _embed(self) -> tuple[str, float]:
        """Forwards and backwards through every unrolled step: about twice a plain training of as many."""
        wanted = self.recipe.embed
        if not embed.wanted(self.recipe):
            return "nothing: no baseline asks for it", 0.0
        unrolled = 2 * self._learnt(wanted.unroll, wanted.per_step * self.classes)
        return f"{wanted.steps} updates", wanted.steps * (unrolled + self._learnt(1, wanted.batch))

    def _select(self) -> float:
        rows = self._pool_rows() + len(self.bench.splits.train)
        encoded = FORWARD * rows * self.tokens * self.shapes.encoder.multiplied
        raced = min(self.recipe.race.rows, len(self.bench.splits.dev))
        return encoded + self._races() * (self._trained(self.recipe.race.steps) + self._read(raced))

    def _races(self) -> int:
        """Trainings of all races: for every set of ours and, where it is a baseline, of real rows."""
        recipe, wanted = self.recipe, self.recipe.race
        own = 1 + ("untuned" in recipe.evaluate.baselines) if recipe.select.method == RACED else 0
        races = own + (RACED in recipe.evaluate.baselines)
        return races * recipe.select.sets * trainings(wanted.candidates, wanted.seeds)

    def _trained(self, steps: int) -> float:
        """A training on a small set, one text an example."""
        return self._learnt(steps, min(self.recipe.evaluate.batch, self.recipe.per_class * self.classes))

    def _trials(self) -> int:
        wanted = self.recipe.evaluate
        arms = 1 + sum(name != "full" for name in wanted.baselines) + 4 * wanted.robust
        orders = self.recipe.prompt.orders
        times = sum(orders if learning(name).reads else wanted.seeds for name in wanted.learners)
        return arms * self.recipe.select.sets * times

    def _audited(self) -> int:
        """Rows of either kind."""
        wanted, splits = self.recipe.audit, self.bench.splits
        counts = {"dev": len(splits.dev), "test": len(splits.test)}
        return min(wanted.rows, len(splits.train), counts.get(wanted.held_out, sum(counts.values())))

    def _attacked(self) -> float:
        """The generator reads rows, twice where it knew the language before; a learner learns, and reads them too."""
        rows = 2 * self._audited()
        times = FORWARD * (1 if any(map(is_scratch, named(self.recipe))) else 2)
        asked = (rows + self.recipe.audit.canaries * self.classes) * self.tokens * self.shapes.generator.multiplied
        return times * asked + self._trained(self.recipe.evaluate.steps) + self._read(rows)

    def _evaluate(self, trials: int) -> float:
        wanted, rows = self.recipe.evaluate, len(self.bench.splits.test)
        # as if all sets were packed like ours
        trial = self.bench.task.packed * self._trained(wanted.steps) + self._read(min(wanted.rows or rows, rows))
        full = self._learnt(wanted.full_steps, wanted.batch) if "full" in wanted.baselines else 0.0
        return trials * trial + len(wanted.learners) * full


def _shapes(recipe: Recipe) -> Shapes:
    models, words = recipe.models, recipe.pretrain.vocabulary
    members = [small(name.partition(":")[2], words) if is_scratch(name) else opened(name) for name in named(recipe)]
    learners = {
        name: replace(small(recipe.pretrain.learner_size, words) if is_scratch(name) else opened(name), vocabulary=0)
        for name in dict.fromkeys(_learners(recipe))
    }
    learner, turns = learners.pop(models.learner), matched(recipe)
    encoder = replace(opened(models.encoder), vocabulary=0) if models.encoder else learner
    each = tuple(learners.get(name, learner) for name in turns)
    return Shapes(Company(tuple(members)), learner, encoder, each, tuple(learners.values()))


def _learners(recipe: Recipe) -> tuple[str, ...]:
    """By name: the recipe's own, and those that are matched."""
    return recipe.models.learner, *matched(recipe)


def _measured_rate(bench: Bench, size: int = 768) -> float:
    """Operations per second of a float32 matrix product here, the best of a few."""
    left = torch.rand(size, size, device=bench.place.device)
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        (left @ left).sum().item()
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / min(times)
