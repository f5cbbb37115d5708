"""A generator whose weights are split among the processes that train it.

To whoever trains it, it looks like any other: all processes do the same with it at the same time, and within it each
reads its part of a batch. Texts are written by one with all weights at hand, which the others lend and take back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from dilm.models.causal import CausalGenerator
from dilm.models.decoders import inner
from dilm.models.reading import Reading
from dilm.runtime import fsdp, memory
from dilm.runtime.processes import Crew
from dilm.types import Draft


class Split:
    """The hold of a crew's process on a generator that it has a part of."""

    def __init__(self, generator: CausalGenerator, crew: Crew) -> None:
        self.generator, self.crew = generator, crew
        self.group = crew.group(generator.model.device)
        self.is_whole = False
        crew.start_alike(generator.model)
        inner(generator.model).config.use_cache = False  # a layer that is read again would add to it again
        fsdp.split(generator.model, self.group, generator.recompute)
        generator.recompute = False  # which the layers do by themselves
        generator.reading = Reading()  # tables are put together for a reading, and so are their gradients
        with self.whole(), torch.no_grad():  # FSDP takes what is read first for the whole
            generator.read([[generator.conditions[0], generator.end]])
        self.read_alone, self.sums_alone, self.sample_alone = generator.read, generator.sums, generator.sample
        generator.read, generator.sums, generator.sample = self.read, self.sums, self.sample

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Within, each process reads and writes for itself."""
        with fsdp.whole(self.generator.model), memory.in_step(False):
            self.is_whole = True
            try:
                yield
            finally:
                self.is_whole = False

    def read(self, rows: list[list[int]]) -> Tensor:
        """The sum of token nlls of each row: token rows -> [n]."""
        return self.read_alone(rows) if self.is_whole else fsdp.read_together(self.read_alone, rows, self.group)

    def sums(self, rows: list[list[int]]) -> tuple[list[Tensor], Tensor]:
        """As the generator's own, by pieces of which each process's part is as large as else a piece."""
        size = 1 if self.is_whole else self.crew.size
        self.generator.tokens_at_once *= size
        try:
            return self.sums_alone(rows)
        finally:
            self.generator.tokens_at_once //= size

    def sample(self, condition: int, n: int, rng: torch.Generator) -> list[Draft]:
        """As the generator's own; the first process writes for all."""
        if self.is_whole:
            return self.sample_alone(condition, n, rng)
        with self.whole():
            drafts = self.crew.told(partial(self.sample_alone, condition, n, rng))
        self.generator.eval()
        return drafts
