"""What keeps a generator a language model while it is matched: the likelihood of real text (`lm_lambda` of the paper's
code, where it is 0)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dilm.protocols import Generator
from dilm.runtime.seeding import python_stream
from dilm.types import Dataset


@dataclass(frozen=True)
class RealText:
    """So many real rows of the condition, drawn anew at each step, whose nll counts `weight` times the mismatch."""

    train: Dataset
    rows: int
    weight: float
    seed: int

    def __call__(self, generator: Generator, condition: int, step: int) -> Tensor:
        """The weighted mean nll: a scalar with a graph."""
        rng = python_stream(self.seed, "real text", condition, step)
        return self.weight * generator.nll(self.train.of(condition).sample(self.rows, rng).examples).mean()
