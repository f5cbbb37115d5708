"""Several learners in turn: whose turn it is, and that one who takes every turn is one alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from plain_problems import plain_problem

from dilm.distillation.match import Matching, Pupil, closed_form, match
from dilm.distillation.targets import RandomRows, mean_gradient
from dilm.distillation.trajectory import Ageing, Cached, Fresh
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset

Generators, Learners = Callable[[], CausalGenerator], Callable[[], Classifier]
REGIMES = {"cached": lambda ageing: Cached(ageing, lives=2, seed=3), "fresh": Fresh}


def ageing(train: Dataset) -> Ageing:
    return Ageing(train, ages=3, age_steps=2, schedule=Schedule(4, 1e-2), batch=4, seed=5)


def growing(learner: Classifier, train: Dataset, regime: str) -> Matching:
    trajectory = REGIMES[regime](ageing(train))
    plain = plain_problem(learner, train, mean_gradient, closed_form)
    return replace(plain, trajectory=trajectory, target=RandomRows(train, 5, seed=0))


def pupil(problem: Matching) -> Pupil:
    return Pupil(problem.learner, problem.trajectory, problem.target, problem.road, problem.view)


def taught(new_generator: Generators, problem: Matching) -> tuple[list[float], list[torch.Tensor]]:
    generator = new_generator()
    update = AdamW(generator.parameters(), Schedule(7, 1e-2))
    seen = list(match(generator, problem, update, range(7), seed=0))
    return seen, [parameter.detach() for parameter in generator.parameters()]


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("apart", ["one object", "each its own"])
def test_a_learner_that_takes_every_turn_is_one_alone(
    new_generator: Generators, new_learner: Learners, train: Dataset, regime: str, apart: str
):
    """Bit for bit: what is met at a step is a function of the step alone, whoever had the step before."""
    alone = taught(new_generator, growing(new_learner(), train, regime))
    problem = growing(new_learner(), train, regime)
    others = [problem if apart == "one object" else growing(new_learner(), train, regime) for _ in range(2)]
    turns = taught(new_generator, replace(problem, beside=tuple(map(pupil, others))))
    assert turns[0] == alone[0] and len(set(alone[0])) == 7
    assert all(torch.equal(one, other) for one, other in zip(turns[1], alone[1], strict=True))


def test_learners_take_turns_a_step_each_and_only_the_one_at_work_is_asked(
    new_generator: Generators, new_learner: Learners, train: Dataset
):
    asked, problems = [], []
    for name in "abc":
        plain = plain_problem(new_learner(), train, mean_gradient, closed_form)

        def road(learner, examples, weights, name=name, plain=plain):
            assert learner is plain.learner
            asked.append(("road", name))
            return closed_form(learner, examples, weights)

        def age(learner, step, name=name, plain=plain):
            assert learner is plain.learner
            asked.append(("age", name, step))

        def view(learner, step, name=name, plain=plain):
            assert learner is plain.learner
            return lambda gradient: gradient

        problems.append(replace(plain, road=road, trajectory=age, view=view))
    first, *others = problems
    problem = replace(first, beside=tuple(map(pupil, others)))
    generator = new_generator()
    list(match(generator, problem, AdamW(generator.parameters(), Schedule(7, 0.1)), range(2, 7), seed=0))
    turns = {2: "c", 3: "a", 4: "b", 5: "c", 6: "a"}
    assert asked == [each for step, n in turns.items() for each in (("age", n, step), ("road", n), ("road", n))]


@pytest.mark.parametrize("steps", [(0, 2), (1, 2, 5), (2, 3, 8)])
def test_a_fresh_life_goes_through_the_ages_of_steps_that_were_not_its_own(
    new_learner: Learners, train: Dataset, steps: tuple[int, ...]
):
    every, some = new_learner(), new_learner()
    all_steps, own = Fresh(ageing(train)), Fresh(ageing(train))
    for step in range(max(steps) + 1):
        all_steps(every, step)
        if step in steps:
            own(some, step)
            found, wanted = some.snapshot(), every.snapshot()
            assert all(torch.equal(found[name], wanted[name]) for name in wanted), step
