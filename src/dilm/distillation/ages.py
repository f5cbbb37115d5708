"""Learners of several ages as they look at real rows: what coresets that ask a young learner are given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dilm.distillation.trajectory import Cached
from dilm.protocols import Bank
from dilm.types import Example


@dataclass(frozen=True)
class AtAge:
    """One learner in one state of a bank; whoever asks first puts it into that state."""

    learner: Any
    """A `protocols.Learner` with `probabilities`; shared by all ages."""
    bank: Bank
    state: str

    def restored(self) -> Any:
        """The learner, in this state."""
        self.learner.restore(self.bank[self.state])
        return self.learner

    def probabilities(self, examples: Sequence[Example]) -> Tensor:
        """Of every class: n examples -> [n, C]."""
        return self.restored().probabilities(examples)

    def gradients(self, examples: Sequence[Example]) -> Tensor:
        """Gradient of each example's loss in the matched parameters: n examples -> [n, P]."""
        return self.restored().gradients(examples)


@dataclass(frozen=True)
class SideBySide:
    """The gradients of several ages as one: what matches all of them teaches at every age."""

    ages: Sequence[AtAge]

    def gradients(self, examples: Sequence[Example]) -> Tensor:
        """n examples -> [n, ages x P], on the CPU: a large class would crowd an accelerator."""
        return torch.cat([age.gradients(examples).cpu() for age in self.ages], dim=1)


def at_ages(learner: Any, bank: Cached, states: Iterable[str]) -> list[AtAge]:
    """The learner at some states of a filled bank, `life.age` each."""
    return [AtAge(learner, bank.bank, state) for state in states]
