"""The learner's age is a function of the step alone: jumping there or walking there meets the same weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dilm.distillation.trajectory import Ageing, Cached, Fresh, Remembered
from dilm.models.classifier import Classifier
from dilm.runtime.optimize import Schedule
from dilm.types import Dataset

Learners = Callable[[], Classifier]


@pytest.fixture
def ageing(train: Dataset) -> Ageing:
    return Ageing(train, ages=3, age_steps=2, schedule=Schedule(4, 1e-2), batch=8, seed=5)


def weights(learner: Classifier) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in learner.parameters()]).clone()


@pytest.mark.parametrize("step", [0, 1, 2, 3, 5, 8])
def test_fresh_jumps_to_where_it_would_have_walked(ageing: Ageing, new_learner: Learners, step: int):
    walker, jumper = new_learner(), new_learner()
    walk = Fresh(ageing)
    for each in range(step + 1):
        walk(walker, each)
    torch.rand(13)
    Fresh(ageing)(jumper, step)
    assert torch.equal(weights(walker), weights(jumper))


def test_fresh_finds_its_way_back_and_again(ageing: Ageing, new_learner: Learners):
    learner, trajectory, seen = new_learner(), Fresh(ageing), {}
    for step in (4, 5, 5, 1, 0, 7, 2, 4, 1):
        trajectory(learner, step)
        assert torch.equal(seen.setdefault(step, weights(learner)), weights(learner))
    assert len({str(value[-34:].tolist()) for value in seen.values()}) == len(seen)


def test_every_life_begins_untrained_with_a_head_of_its_own(ageing: Ageing, new_learner: Learners):
    learner, trajectory, births = new_learner(), Fresh(ageing), []
    pristine = learner.snapshot()
    for step in (0, 3, 6):
        trajectory(learner, step)
        births.append(learner.snapshot())
    body = [name for name in pristine if name.startswith(("bert.encoder", "bert.embeddings"))]
    assert body and all(torch.equal(pristine[name], birth[name]) for name in body for birth in births)
    assert len({str(birth["classifier.weight"].tolist()) for birth in births}) == 3


def test_the_learner_is_left_in_eval_mode(ageing: Ageing, new_learner: Learners):
    for trajectory in (Fresh(ageing), bank(ageing, new_learner())):
        learner = new_learner()
        learner.train()
        trajectory(learner, 1)
        assert not learner.model.training


def bank(ageing: Ageing, learner: Classifier) -> Cached:
    made = Cached(ageing, lives=2)
    counted = []
    made.fill(learner, lambda: counted.append(1))
    assert len(counted) == 6
    return made


def test_the_bank_holds_what_fresh_lives_pass_through(ageing: Ageing, new_learner: Learners):
    cached, learner = bank(ageing, new_learner()), new_learner()
    fresh = Fresh(ageing)
    for life in range(2):
        for age in range(3):
            fresh(learner, 3 * life + age)
            kept = cached.bank[f"{life}.{age}"]
            assert all(torch.equal(kept[name], value) for name, value in learner.snapshot().items())


def test_the_bank_is_not_touched_by_later_training(ageing: Ageing, new_learner: Learners):
    learner = new_learner()
    cached = bank(ageing, learner)
    kept = {state: {name: value.clone() for name, value in snapshot.items()} for state, snapshot in cached.bank.items()}
    cached(learner, 0)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(1)
    assert all(torch.equal(cached.bank[state][name], kept[state][name]) for state in kept for name in kept[state])


def test_cached_puts_the_learner_into_the_state_of_the_step(ageing: Ageing, new_learner: Learners):
    learner = new_learner()
    cached = bank(ageing, learner)
    jumped = {step: weights_at(cached, new_learner(), step) for step in (17, 3, 9)}
    for step in range(20):
        cached(learner, step)
        kept = cached.bank[cached.age(step)]
        assert all(torch.equal(kept[name], value) for name, value in learner.snapshot().items())
        assert step not in jumped or torch.equal(jumped[step], weights(learner))


def weights_at(cached: Cached, learner: Classifier, step: int) -> Tensor:
    cached.current = None  # another learner
    cached(learner, step)
    cached.current = None
    return weights(learner)


def test_all_states_are_drawn_about_equally_often(ageing: Ageing):
    drawn = [Cached(ageing, lives=2).age(step) for step in range(600)]
    assert set(drawn) == {f"{life}.{age}" for life in range(2) for age in range(3)}
    assert all(60 < drawn.count(state) < 140 for state in set(drawn))


def test_renewed_lives_are_others_and_pass_away(ageing: Ageing, new_learner: Learners):
    """What is met of them is what a bank of so many lives would hold; nothing of them is kept."""
    learner, plain = new_learner(), Cached(ageing, lives=8)
    cached = Cached(ageing, lives=2, renew_every=5)
    cached.fill(learner, lambda: None)
    plain.fill(new_learner(), lambda: None)
    for step in [*range(20), 7, 3, 12]:
        cached(learner, step)
        state = cached.state(step)
        assert int(state.partition(".")[0]) // 2 == step // 5
        assert cached.age(step) == (state if step < 5 else None)
        kept = plain.bank[state]
        assert all(torch.equal(kept[name], value) for name, value in learner.snapshot().items())
        assert len(cached.bank) == 6 and len(cached.passing) <= 5


def test_a_renewed_life_is_trained_once_and_no_further_than_it_is_met(ageing: Ageing, new_learner: Learners):
    learner, grown = new_learner(), []
    grow = ageing.grow
    counting = replace(ageing)
    object.__setattr__(counting, "grow", lambda *given: grown.append(given[2]) or grow(*given))
    cached = Cached(counting, lives=1, renew_every=4)
    cached.fill(learner, lambda: None)
    grown.clear()
    for step in range(4, 12):
        cached(learner, step)
    met = [cached.state(step) for step in range(4, 12)]
    assert grown == [life for life in (1, 2) for _ in range(max(int(s[2:]) for s in met if s[0] == str(life)))]


def test_at_one_every_step_has_a_life_of_its_own(ageing: Ageing):
    cached = Cached(ageing, lives=1, renew_every=1)
    assert [cached.state(step).partition(".")[0] for step in range(30)] == [str(step) for step in range(30)]


def test_a_bank_that_was_filled_before_is_not_trained_again(ageing: Ageing, new_learner: Learners):
    learner = new_learner()
    filled = bank(ageing, learner)
    counted = []
    Cached(ageing, lives=2, bank=filled.bank).fill(learner, lambda: counted.append(1))
    assert not counted


def test_a_life_of_which_an_age_is_missing_is_trained_again(ageing: Ageing, new_learner: Learners):
    """A process was killed while it filled the bank."""
    learner = new_learner()
    whole = bank(ageing, learner).bank
    torn = Remembered({state: whole[state] for state in whole if state != "1.2"})
    counted = []
    Cached(ageing, lives=2, bank=torn).fill(learner, lambda: counted.append(1))
    assert len(counted) == 3
    assert all(torch.equal(torn["1.2"][name], value) for name, value in whole["1.2"].items())
