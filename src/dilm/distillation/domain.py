"""Language-model training on unlabelled text: what the domain sounds like, before any class is learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dilm.numerics.likelihood import Told, pooled_nll, shares
from dilm.protocols import Generator, Updater
from dilm.runtime.batches import rows_of_step
from dilm.runtime.seeding import derive, seed_torch


@dataclass(frozen=True)
class Reading:
    """What is read, so many texts at a step; the mean token nll that the generator gives a text, and of how many."""

    texts: Sequence[str]
    batch: int
    cost: Told
    lengths: Told
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
        yield update.on(_weighted(reading, shown), range(len(shown)))


def _weighted(reading: Reading, shown: Sequence[str]) -> Callable[[Sequence[int]], Tensor]:
    """What each text of a step is learnt by, so that its tokens count alike: places of n texts -> [n]."""
    counts = shares(reading.lengths(shown), "tokens")
    return lambda places: counts[list(places)] * reading.cost([shown[place] for place in places])


@torch.no_grad()
def corpus_nll(generator: Generator, reading: Reading, texts: Sequence[str], batch: int = 64) -> float:
    """Mean nll of a token of these texts, without dropout."""
    generator.eval()
    return pooled_nll(reading.cost, reading.lengths, sorted(texts, key=len), batch)
