"""The reward: its slope is that of the expected score, where all that can be drawn can be counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_problems import plain_problem

from dilm.distillation.match import closed_form, match
from dilm.distillation.reward import Reward, advantages, lots, standardised
from dilm.distillation.targets import mean_gradient
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset, Example, Task

TASK = Task("urns", ("text",), ("a", "b"))


def urn_texts(logits: torch.Tensor, drawn: Sequence[int]) -> torch.Tensor:
    """The nll of texts that were drawn from an urn."""
    return -logits.log_softmax(0)[list(drawn)]


@pytest.mark.parametrize(("n", "m"), [(3, 1), (3, 2), (4, 2)])
def test_its_expected_slope_is_that_of_the_expected_score(n: int, m: int):
    """Over all draws of n texts, with all sets of m of them: (1/m - 1/n) times the exact one, as the formula says."""
    rng = torch.Generator().manual_seed(n)
    logits = torch.randn(3, generator=rng, dtype=torch.float64, requires_grad=True)
    worth = torch.rand((3,) * m, generator=rng, dtype=torch.float64)  # of any set, of whatever texts
    worth = sum(worth.permute(*order) for order in {tuple(np.roll(range(m), at)) for at in range(m)})
    share = logits.softmax(0)
    score = sum(
        (torch.stack([share[text] for text in texts]).prod() * worth[texts] for texts in product(range(3), repeat=m)),
        torch.zeros((), dtype=torch.float64),
    )
    (exact,) = torch.autograd.grad(score, logits)
    every = list(combinations(range(n), m))
    held = np.array([[row in rows for row in range(n)] for rows in every])
    slope = torch.zeros_like(logits)
    for drawn in product(range(3), repeat=n):
        scores = np.array([float(worth[tuple(drawn[row] for row in rows)]) for rows in every])
        reward = Reward(TASK, None, None, 1.0, len(every), m, 1, 0)  # type: ignore[arg-type]
        reward.advantages = {0: torch.from_numpy(advantages(scores, held))}
        (own,) = torch.autograd.grad(reward(0, urn_texts(logits, drawn)), logits)
        slope += share.detach()[list(drawn)].prod() * own
    assert exact.norm() > 0.01
    torch.testing.assert_close(-slope, (1 / m - 1 / n) * exact)


def drawing(score: Callable[[Sequence[Dataset], int], Sequence[float]], texts: int = 6, **changes: object) -> Reward:
    """Rewards for numbered texts."""
    rows = {label: [Example((f"{label} {at}",), label) for at in range(texts)] for label in (0, 1)}
    return replace(
        Reward(TASK, lambda condition, step: rows[condition], score, 2.0, sets=6, size=2, every=3, seed=0),
        **changes,  # type: ignore[arg-type]
    )


def test_texts_in_better_sets_become_likelier_and_where_all_are_as_good_none_does():
    """Good is a set that holds text 0; what is told is the mean score."""
    nll = {label: torch.linspace(1, 2, 6).requires_grad_() for label in (0, 1)}

    def good(sets: Sequence[Dataset], step: int) -> list[float]:
        return [float(any(row.texts == ("1 0",) for row in rows)) for rows in sets]

    reward = drawing(good)
    reward.prepare(0)
    slopes = {label: torch.autograd.grad(reward(label, nll[label]), nll[label])[0] for label in (0, 1)}
    assert slopes[1][0] == slopes[1].max() > 0 and float(slopes[1].sum()) == pytest.approx(0, abs=1e-6)
    told = reward.told()
    assert told == [pytest.approx(1 / 3)] and reward.told() == []  # 6 sets hold each text twice
    level = drawing(lambda sets, step: [0.7] * len(sets))
    level.prepare(0)
    assert all(level(label, nll[label]) == 0 for label in (0, 1)) and level.told() == [pytest.approx(0.7)]


def test_between_steps_of_rewards_nothing_is_drawn_and_nothing_added():
    asked: list[int] = []

    def score(sets: Sequence[Dataset], step: int) -> list[float]:
        asked.append(step)
        assert all(rows.counts == (2, 2) for rows in sets) and len(sets) == 6
        return list(np.random.default_rng(step).random(len(sets)))

    reward, nll = drawing(score), torch.linspace(1, 2, 6)
    added = []
    for step in range(7):
        reward.prepare(step)
        added.append(float(reward(0, nll)))
    assert asked == [0, 3, 6] and [bool(value) for value in added] == [step % 3 == 0 for step in range(7)]
    assert len(reward.told()) == 3


@given(rows=st.integers(1, 12), sets=st.integers(1, 9), size=st.integers(1, 15), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_sets_are_of_one_size_and_hold_all_texts_before_one_twice(rows: int, sets: int, size: int, seed: int):
    held = lots(rows, sets, size, np.random.default_rng(seed))
    wanted = max(min(size, rows // 2), 1)
    assert (held.sum(axis=1) == wanted).all()
    in_a_round = rows // wanted
    for first in range(0, sets, in_a_round):
        assert held[first : first + in_a_round].sum(axis=0).max() == 1


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5), st.integers(0, 99))
@settings(deadline=None)
def test_advantages_are_of_mean_nothing_among_those_held(scores: list[float], seed: int):
    held = lots(9, 5, 1, np.random.default_rng(seed))
    found, among = advantages(np.array(scores), held), held.any(axis=0)
    assert (found[~among] == 0).all() and among.sum() == 5
    assert found.sum() == pytest.approx(0, abs=1e-9)
    standard = standardised(found, among)
    assert standard.sum() == pytest.approx(0, abs=1e-6) and (standard[~among] == 0).all()
    assert np.ptp(scores) < 1e-6 or standard[among].std() == pytest.approx(1)


def test_a_generator_learns_what_is_rewarded(
    new_generator: Callable[[], CausalGenerator], new_learner: Callable[[], Classifier], train: Dataset
):
    """Beside the mismatch: with a reward for a word its texts become likelier than without."""
    share = {}
    for weight in (0.0, 20.0):
        generator, problem = new_generator(), plain_problem(new_learner(), train, mean_gradient, closed_form)
        liked = problem.proposals(0, 0)[5].texts

        def score(sets: Sequence[Dataset], step: int, liked=liked) -> list[float]:
            return [float(any(row.texts == liked for row in rows)) for rows in sets]

        reward = Reward(train.task, problem.proposals, score, weight, sets=4, size=2, every=1, seed=0)
        update = AdamW(generator.parameters(), Schedule(12, 1e-2))
        list(match(generator, replace(problem, reward=reward), update, range(12), seed=0))
        generator.eval()
        share[weight] = float(torch.softmax(-generator.nll(problem.proposals(0, 0)), 0)[5].detach())
        assert len(reward.told()) == 12
    assert share[20.0] > share[0.0] + 0.05
