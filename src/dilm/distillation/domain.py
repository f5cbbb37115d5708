"""Language-model training on unlabelled text: what the domain sounds like, before any class is learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dilm.protocols import Generator, Updater
from dilm.runtime.batches import rows_of_step
from dilm.runtime.seeding import derive, seed_torch

Cost = Callable[[Sequence[str]], Tensor]
"""n texts -> mean token nll of each, without a class [n]."""


@dataclass(frozen=True)
class Reading:
    """What is read, so many texts at a step, and what the generator says of texts without a class."""

    texts: Sequence[str]
    batch: int
    cost: Cost
    seed: int


def read_on(generator: Generator, reading: Reading, update: Updater, steps: range) -> Iterator[float]:
    """Train on texts without a class; yields the mean token nll of each step's batch, before the step.

    A step depends on the weights and on its number only.
    """
    texts, order = reading.texts, derive(reading.seed, "corpus", "rows")
    for step in steps:
        generator.train()
        seed_torch(reading.seed, "corpus", step)  # dropout
        shown = sorted((texts[row] for row in rows_of_step(len(texts), step, reading.batch, order)), key=len)
        yield update.on(reading.cost, shown)


@torch.no_grad()
def corpus_nll(generator: Generator, cost: Cost, texts: Sequence[str], batch: int = 64) -> float:
    """Mean token nll per text, without dropout."""
    generator.eval()
    ordered = sorted(texts, key=len)
    total = sum(float(cost(ordered[first : first + batch]).sum()) for first in range(0, len(ordered), batch))
    return total / len(ordered)
