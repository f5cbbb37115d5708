"""What gradients say beyond what all texts share.

The head's gradient of a text is its error in the classes times its feature. Where features lie close together beside
their distance from zero, the gradients of any two texts of a class are nearly parallel, whatever they say. Relative to
their mean, features differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dilm.numerics.gradients import centred, mean_feature
from dilm.protocols import Learner, Target


@dataclass
class Centred:
    """Head gradients as they would be if features were taken relative to the mean of the classes' real ones."""

    target: Target
    conditions: Sequence[int]
    classes: int
    at: int = -1
    centre: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Of step `at`: the same for all of its conditions."""

    def __call__(self, learner: Learner, step: int) -> Callable[[Tensor], Tensor]:
        """For the learner's present state: a gradient [C*d + C] -> what is compared [C*d]."""
        if step != self.at:
            real = [self.target(learner, condition, step) for condition in self.conditions]
            self.at, self.centre = step, torch.stack([mean_feature(each, self.classes) for each in real]).mean(0)
        return lambda gradient: centred(gradient, self.classes, self.centre.to(gradient.device))
