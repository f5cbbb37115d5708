"""What else is asked of the proposals of a generation task: that input and target belong together, variety, and that
conditions are told apart.

A term is a worth of weighted proposals; the writer is taught it through the weights, as it is taught the mismatch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dilm.protocols import Generator, Writer
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


def telling(generator: Generator, examples: Sequence[Example]) -> Tensor:
    """How surely each text tells the condition that it was written for: n examples -> [n], without a graph.

    1 + log P(own condition | text) / log(conditions), by Bayes' rule on the generator's own likelihoods of whole texts,
    conditions being equally frequent: 1 where no other condition would write it, 0 where all are as likely to, less
    where another is likelier to. Its expectation over the writer is the mutual information of condition and text, as a
    share of the most that it can be: then each condition covers what no other does, and together they cover most. Where
    all conditions mean the same it is 0, and so is its slope: `fit` must have told them apart.

    That the posterior moves with the generator, too, is rightly left out of the slope: over all conditions that part
    adds up to nothing, sum over c of p(text, c) d log p(c | text) being p(text) d 1.
    """
    conditions = generator.task.conditions
    asked = [replace(example, label=condition) for condition in conditions for example in examples]
    told = torch.stack([tokens.double().sum() for tokens in generator.token_nlls(asked)])
    generator.train()  # as it was: likelihoods are taken in eval mode, and what is recomputed later must not be
    sure = torch.log_softmax(-told.view(len(conditions), len(examples)), dim=0)  # [C, n]
    own = sure[[example.label for example in examples], torch.arange(len(examples))]
    return (1 + own / math.log(len(conditions))).float() if len(conditions) > 1 else torch.ones(len(examples))
