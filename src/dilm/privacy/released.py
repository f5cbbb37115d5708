"""The target gradient, released once: a bank of noised sums that any number of matching steps may look at.

For each state of the learner and each condition, the head gradients of all real rows of the condition are clipped and
added up, and noise is added to the sum. A row has one class, so it is in one condition's sum alone: the sums of all
conditions, side by side, are one vector that a row can change by `clip` at most, and one state is one Gaussian
mechanism. What is matched is the direction of a gradient (cosine), so nothing is divided by the number of rows, and
no count of a class is released.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dilm.privacy.dpsgd import clipped_sums
from dilm.privacy.noise import Noise
from dilm.protocols import Learner, Shelf
from dilm.types import Example

AT_ONCE = 256
"""Rows whose gradients are held at a time."""


@dataclass(frozen=True)
class Released:
    """A `Target` that looks at released sums only."""

    sums: Shelf[Tensor]
    """By `state.condition`."""
    age: Callable[[int], str | None]
    """Name of the learner's state at a step."""

    def __call__(self, learner: Learner, condition: int, step: int) -> Tensor:
        """[P], without a graph."""
        return self.sums[f"{self.age(step)}.{condition}"]


@torch.no_grad()
def clipped_gradients(learner: Learner, rows: Sequence[Example], clip: float) -> Tensor:
    """The rows' head gradients, each shortened to `clip` at most, added up: n rows -> [P]."""
    total = torch.zeros(sum(parameter.numel() for parameter in learner.head_parameters()))
    for first in range(0, len(rows), AT_ONCE):
        found = learner.gradients(rows[first : first + AT_ONCE])
        total += clipped_sums([found], clip)[0].cpu()
    return total


def noised(total: Tensor, clip: float, noise: float, source: Noise, *names: object) -> Tensor:
    """A sum of clipped gradients with its noise: [P] -> [P]."""
    return (total + noise * clip * source.normal(total, *names)).to(total)
