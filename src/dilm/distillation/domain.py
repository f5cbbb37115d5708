"""Language-model training on unlabelled text: what the domain sounds like, before any class is learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from dilm.errors import RecipeError
from dilm.protocols import Generator, Updater
from dilm.runtime.batches import rows_of_step
from dilm.runtime.seeding import derive, seed_torch

Cost = Callable[[Sequence[str]], Tensor]
"""n texts -> mean token nll of each, without a class [n]."""


def read_on(
    generator: Generator, texts: Sequence[str], batch: int, update: Updater, steps: range, seed: int
) -> Iterator[float]:
    """Train on texts without a class; yields the mean token nll of each step's batch, before the step.

    A step depends on the weights and on its number only. Raises RecipeError for a generator that needs a class.
    """
    cost, order = unlabelled_cost(generator), derive(seed, "corpus", "rows")
    for step in steps:
        generator.train()
        seed_torch(seed, "corpus", step)  # dropout
        shown = sorted((texts[row] for row in rows_of_step(len(texts), step, batch, order)), key=len)
        yield update.on(cost, shown)


@torch.no_grad()
def corpus_nll(generator: Generator, texts: Sequence[str], batch: int = 64) -> float:
    """Mean token nll per text, without dropout."""
    generator.eval()
    ordered, cost = sorted(texts, key=len), unlabelled_cost(generator)
    total = sum(float(cost(ordered[first : first + batch]).sum()) for first in range(0, len(ordered), batch))
    return total / len(ordered)


def unlabelled_cost(generator: Generator) -> Cost:
    """How the generator is asked about a text without a class."""
    told = getattr(generator, "unlabelled_nll", None)
    if told is None:
        raise RecipeError(
            "corpus.source needs a generator that reads text without a class, and this kind does not.",
            "Leave it out, or use a single causal language model.",
        )
    return told
