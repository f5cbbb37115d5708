"""Gradient matching: the generator learns to write text that gives a learner the gradient of real text (paper 3.2).

The loop is the method. What may vary stands in sockets: how old the learner is (`Trajectory`), what its gradient
should be (`Target`), what may be said (`Proposals`), how the gradient of what was said is had (`GradientRoad`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from dilm.numerics.likelihood import likelihood_weights
from dilm.numerics.mismatch import cosine_mismatch
from dilm.protocols import Generator, Learner, Proposals, Target, Trajectory, Updater
from dilm.runtime import memory
from dilm.runtime.seeding import seed_torch
from dilm.types import Example

GradientRoad = Callable[[Any, Sequence[Example], Tensor], Tensor]
"""(learner, n examples, weights [n]) -> gradient of their weighted loss [P], differentiable in the weights.

In eval mode; whose gradient it is, the learner's head or more of it, is the road's choice.
"""

Fluency = Callable[[Generator, int, int], Iterator[Tensor]]
"""(generator, condition, step) -> losses beside the mismatch, each of its own graph, whose sum is meant."""

Term = Callable[[Sequence[Example], Tensor], Tensor]
"""(n proposals of a condition, weights [n]) -> what is added to their mismatch, differentiable in the weights."""

View = Callable[[Any, int], Callable[[Tensor], Tensor]]
"""(learner, step) -> gradient [P] -> what of it is compared [Q], linear and the same for real and synthetic ones."""


class Rewarding(Protocol):
    """What makes proposals likelier by what sets of them taught."""

    name: str

    def told(self) -> list[float]:
        """How well they taught, since this was asked last."""
        ...

    def prepare(self, step: int) -> None:
        """Whatever takes trainings, before the generator's step."""
        ...

    def __call__(self, condition: int, nll: Tensor) -> Tensor:
        """What is added to the mismatch of a condition's proposals, given their nll [n], differentiable in that."""
        ...


@dataclass(frozen=True)
class Pupil:
    """A learner that takes its turn, and what fills the sockets that are about it alone."""

    learner: Learner
    trajectory: Trajectory
    target: Target
    road: GradientRoad
    view: View | None = None


@dataclass(frozen=True)
class Matching:
    """One matching problem: a learner, and what fills the sockets around it."""

    learner: Learner
    trajectory: Trajectory
    target: Target
    proposals: Proposals
    road: GradientRoad
    temperature: float = 1.0
    fluency: Fluency | None = None
    """What else is asked of the generator."""
    view: View | None = None
    """What of the gradients is compared; None: all."""
    terms: tuple[Term, ...] = ()
    """What else is asked of the proposals."""
    reward: Rewarding | None = None
    """Asks for the proposals of all conditions, whoever answers for them."""
    beside: tuple[Pupil, ...] = ()
    """Learners whose turn comes after this one's, a step each."""

    def at(self, step: int) -> Matching:
        """The problem of a step: that of the learner whose turn it is, a function of the step alone."""
        turn = step % (1 + len(self.beside))
        return replace(self, **vars(self.beside[turn - 1])) if turn else self


def match(generator: Generator, matching: Matching, update: Updater, steps: range, seed: int) -> Iterator[float]:
    """Fine-tune the generator; yields the cosine similarity of each step, mean over conditions, after the step."""
    for step in steps:
        now = matching.at(step)
        conditions = generator.task.conditions
        update.forget()  # to put the learner into a state takes as much memory
        for condition in conditions if now.reward else update.share(conditions):
            now.proposals(condition, step)  # refresh first: sampling puts the generator in eval mode
        now.trajectory(now.learner, step)
        if now.reward:
            now.reward.prepare(step)
        generator.train()
        yield 1.0 - _descend(generator, now, update, step, seed)


def _descend(generator: Generator, matching: Matching, update: Updater, step: int, seed: int) -> float:
    """One step on the mean mismatch of all conditions; returns that. With less memory at once where it runs out.

    Which of the two models asked for too much is not known, so both take less.
    """
    conditions, seen = generator.task.conditions, {}

    def losses() -> Iterator[Tensor]:
        for condition in update.share(conditions):
            seed_torch(seed, "match", step, condition)  # dropout: the same in whichever process
            examples = matching.proposals(condition, step)
            nll, parts = generator.nll_in_parts(examples)
            weights = likelihood_weights(nll, matching.temperature)  # [n], the differentiable road
            mismatch = _mismatch(matching, condition, step, examples, weights)
            seen[condition] = float(mismatch.detach())
            rewarded = [matching.reward(condition, nll)] if matching.reward else []
            yield from parts(sum((*rewarded, *(term(examples, weights) for term in matching.terms)), mismatch))
            if matching.fluency:
                yield from matching.fluency(generator, condition, step)

    def spare() -> bool:
        spared = [model.spare_memory() for model in (generator, matching.learner)]
        return any(spared)

    with memory.guard("matching one text at a time", "Lower `models.max_tokens`, or use smaller models."):
        memory.with_less(lambda: update(losses(), len(conditions)), spare)
    return update.mean(list(seen.values()))


def condition_mismatch(generator: Generator, matching: Matching, condition: int, step: int) -> Tensor:
    """1 - cosine between the real and the weighted synthetic gradient of one condition: a scalar with a graph."""
    examples = matching.proposals(condition, step)
    weights = likelihood_weights(generator.nll(examples), matching.temperature)
    return _mismatch(matching, condition, step, examples, weights)


def _mismatch(matching: Matching, condition: int, step: int, examples: Sequence[Example], weights: Tensor) -> Tensor:
    """Of these proposals of a condition, given the weight of each [n]."""
    synthetic = matching.road(matching.learner, examples, weights)  # [P]
    real = matching.target(matching.learner, condition, step)
    if matching.view:
        seen = matching.view(matching.learner, step)
        real, synthetic = seen(real), seen(synthetic)
    return cosine_mismatch(real, synthetic)


def closed_form(learner: Learner, examples: Sequence[Example], weights: Tensor) -> Tensor:
    """The road to the head's gradient: those of all examples from one forward pass, then a weighted sum."""
    return weights @ learner.gradients(examples)
