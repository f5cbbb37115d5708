"""What else is asked of the proposals of a generation task: that input and target belong together, and variety.

A term is a worth of weighted proposals; the writer is taught it through the weights, as it is taught the mismatch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dilm.protocols import Writer
from dilm.types import Example

Worth = Callable[[Sequence[Example], Tensor], Tensor]
"""(n proposals, weights [n] summing to 1) -> a scalar, more is better."""


@dataclass
class Weighed:
    """A term of the objective: minus so many times a worth, which is taken note of by its name."""

    name: str
    weight: float
    worth: Worth
    seen: list[float] = field(default_factory=list)

    def __call__(self, examples: Sequence[Example], weights: Tensor) -> Tensor:
        """What is added to the loss: a scalar with the weights' graph."""
        worth = self.worth(examples, weights)
        self.seen.append(float(worth.detach()))
        return -self.weight * worth

    def told(self) -> list[float]:
        """The worths since this was asked last."""
        told, self.seen = self.seen, []
        return told


def spread(examples: Sequence[Example], weights: Tensor) -> Tensor:
    """Entropy of the writer over its proposals as a share of the largest, 0 to 1.

    >>> spread([Example(("a",), 0)] * 4, torch.full((4,), 0.25)).item()
    1.0
    """
    if len(weights) == 1:
        return weights.sum()
    return torch.special.entr(weights).sum() / math.log(len(weights))


def expected(of: Callable[[Sequence[Example]], Tensor]) -> Worth:
    """The mean of a number of each text, as the writer would draw it."""
    return lambda examples, weights: weights @ of(examples).to(weights)


def pointwise_information(reader: Writer, examples: Sequence[Example]) -> Tensor:
    """How much likelier each target is given its input than alone, in nats per token: n examples -> [n]."""
    asked, alone = reader.token_losses(examples), reader.unasked_losses(examples)
    return torch.stack([before.mean() - after.mean() for before, after in zip(alone, asked, strict=True)])
