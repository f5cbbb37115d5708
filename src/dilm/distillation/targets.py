"""What the synthetic gradient is matched to: the mean gradient of real rows, or of representative sets (paper 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dilm.protocols import Learner, Shelf
from dilm.runtime.seeding import derive, python_stream
from dilm.types import Dataset, Example

Age = Callable[[int], str | None]
"""Name of the learner's state at a step, equal names, equal weights; None where none is worth remembering."""
Mean = Callable[[Any, Sequence[Example]], Tensor]
"""(learner, examples) -> their mean gradient in the matched weights [P], without a graph."""


@torch.no_grad()
def mean_gradient(learner: Learner, examples: Sequence[Example], batch: int = 64) -> Tensor:
    """Of the head: the mean of the learner's per-example gradients, in micro-batches that sum exactly: -> [P]."""
    total = torch.zeros(())
    for first in range(0, len(examples), batch):
        total = total + learner.gradients(examples[first : first + batch]).sum(dim=0)
    return total / len(examples)


@dataclass
class Representatives:
    """Each step draws one of a few representative sets; its gradient is computed once per learner state.

    `sets[condition]` are the teacher sets of a condition, each a sequence of real rows.
    """

    sets: Mapping[int, Sequence[Sequence[Example]]]
    age: Age
    seed: int
    mean: Mean = mean_gradient
    known: Shelf[Tensor] = field(default_factory=dict)
    """By `age.condition.set`; it must belong to these sets, this learner and the weights whose gradient is matched."""

    def __call__(self, learner: Learner, condition: int, step: int) -> Tensor:
        """[P], without a graph."""
        which = derive(self.seed, "teacher", condition, step) % len(self.sets[condition])
        age = self.age(step)
        if age is None:
            return self.mean(learner, self.sets[condition][which])
        state = f"{age}.{condition}.{which}"
        if state not in self.known:
            self.known[state] = self.mean(learner, self.sets[condition][which])
        return self.known[state]


@dataclass(frozen=True)
class RandomRows:
    """Random real rows of the condition, drawn anew at each step: the method without representative teachers."""

    train: Dataset
    count: int
    seed: int
    mean: Mean = mean_gradient

    def __call__(self, learner: Learner, condition: int, step: int) -> Tensor:
        """[P], without a graph."""
        rows = self.train.where(condition)
        rng = python_stream(self.seed, "real rows", condition, step)
        chosen = rng.sample(rows, min(self.count, len(rows)))
        return self.mean(learner, [self.train[row] for row in chosen])
