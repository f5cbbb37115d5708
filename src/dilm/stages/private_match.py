"""What `match` is given under differential privacy: learners that never saw a real row, and a target released once."""

from __future__ import annotations

from dataclasses import replace

from dilm import private
from dilm.build import Bench
from dilm.data.jsonl import read_dataset, write_dataset
from dilm.distillation.generate import write_pool
from dilm.distillation.trajectory import Ageing, Cached
from dilm.models.classifier import Classifier
from dilm.models.snapshots import Vectors
from dilm.privacy.released import Released, clipped_gradients, noised
from dilm.runtime.progress import bar
from dilm.runtime.seeding import torch_stream
from dilm.types import Dataset

SYNTHETIC = "synthetic"
STEPS_OF_ROWS = 4
"""A learner grows up on the rows of so many batches, epoch after epoch."""


def grown_without_real_rows(bench: Bench, ageing: Ageing) -> Ageing:
    """The same way of growing up, on texts of the fitted generator, or on none where the learner stays untrained."""
    if bench.recipe.dp.trajectory != SYNTHETIC:
        return replace(ageing, train=Dataset(bench.task, ()))
    return replace(ageing, train=bench.crew.told(lambda: _texts(bench)))


def released_target(bench: Bench, learner: Classifier, bank: Cached) -> Released:
    """The noised sums of every state and condition, made now where they are not on disk yet."""
    train, mechanism = private.real_rows(bench, "target"), private.mechanisms(bench)["match"]
    identity = private.release_at_work(bench, "match", mechanism)
    sums, clip = Vectors(bench.folder("match") / "released" / identity), bench.recipe.dp.target_clip
    book, noise = private.ledger(bench), private.noise(bench, identity)
    states = [f"{life}.{age}" for life in range(bank.lives) for age in range(bank.ageing.ages)]

    def release() -> None:
        with bar("release the target", len(states)) as advance:
            for state in states:
                missing = [each for each in train.task.conditions if f"{state}.{each}" not in sums]
                if missing:
                    book.charge(f"{identity} {state}{noise.mark}", private.entry("match", mechanism, 1))
                    learner.restore(bank.bank[state])
                for condition in missing:
                    total = clipped_gradients(learner, train.of(condition).examples, clip)
                    sums[f"{state}.{condition}"] = noised(total, clip, mechanism.noise, noise, state, condition)
                advance(1)

    bench.crew.told(release)
    return Released(sums, bank.age)


def _texts(bench: Bench) -> Dataset:
    """What the fitted generator writes, once."""
    file = bench.folder("match") / "grown-on.jsonl"
    if not file.exists():
        recipe = bench.recipe
        per_class = -(-STEPS_OF_ROWS * recipe.evaluate.batch // len(bench.task.labels))
        rng = torch_stream(recipe.seed, "grown on")
        texts, _ = write_pool(bench.generator("fit"), per_class, recipe.generate.attempts, rng, lambda _: None)
        write_dataset(file, texts)
    return read_dataset(file, bench.task)
