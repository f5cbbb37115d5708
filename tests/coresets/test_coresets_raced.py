"""Raced sets: the best is found in noise that no single training sees through, and what luck did is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
from plane import Plane, chosen, cloud

from dilm.coresets.herding import Herding
from dilm.coresets.raced import Race, Raced, trainings
from dilm.coresets.random import Random
from dilm.types import Dataset, Selection


@dataclass
class Trainer:
    """A set is worth the mean x of its rows; a seed shifts all sets alike, and every training has luck of its own."""

    seeds: float = 0.0
    rest: float = 0.0
    asked: list[tuple[str, int]] = field(default_factory=list)

    def __call__(self, trainings: Sequence[tuple[Dataset, int]]) -> list[float]:
        self.asked += [(rows.fingerprint, seed) for rows, seed in trainings]
        return [self.score(rows, seed) for rows, seed in trainings]

    def score(self, rows: Dataset, seed: int) -> float:
        own = np.random.default_rng([seed, int(rows.fingerprint[:8], 16)])
        return worth(rows) + self.seeds * np.random.default_rng(seed).normal() + self.rest * own.normal()


def worth(rows: Dataset) -> float:
    return float(Plane().encode(rows)[:, 0].mean())


def sets_of(count: int) -> list[Dataset]:
    """Different sets of two rows."""
    return [cloud(2, seed) for seed in range(count)]


def test_without_luck_the_best_of_the_drawn_sets_wins():
    trainer, pool = Trainer(), cloud(60)
    kept = chosen(Raced([Random()], trainer, candidates=9, seeds=2), pool, 4)
    stream = np.random.default_rng(0)
    drawn = [Random()(pool, 4, stream).apply(pool) for _ in range(9)]
    assert worth(kept) == max(map(worth, drawn))


@pytest.mark.parametrize(("candidates", "seeds"), [(2, 2), (7, 3), (16, 3)])
def test_each_round_halves_the_sets_and_doubles_the_seeds_and_trains_nothing_twice(candidates: int, seeds: int):
    trainer = Trainer(1.0, 1.0)
    race = Raced([Random()], trainer, seeds=seeds).race(sets_of(candidates), 5)
    for (before, few), (after, many) in zip(race.rounds, race.rounds[1:], strict=False):
        assert after == before // 2 and many == 2 * few
    assert race.rounds[0] == (candidates, seeds) and race.rounds[-1][0] in (2, 3)
    assert len(set(trainer.asked)) == len(trainer.asked) == len(race.scores) == trainings(candidates, seeds)


def test_all_sets_of_a_round_meet_the_same_seeds():
    trainer = Trainer(1.0, 1.0)
    Raced([Random()], trainer, seeds=2).race(sets_of(8), 5)
    met = [{seed for name, seed in trainer.asked if name == rows.fingerprint} for rows in sets_of(8)]
    assert set(map(len, met)) == {2, 4, 8} and all(few <= max(met, key=len) for few in met)


def test_what_a_seed_does_to_all_sets_alike_changes_no_winner():
    for seed in range(10):
        winners = {Raced([Random()], Trainer(shift)).race(sets_of(8), seed).winner for shift in (0.0, 50.0)}
        assert len(winners) == 1


def test_a_race_finds_better_sets_than_a_single_training_of_each():
    """The trap that the method is made against: most of one training is luck."""
    sets = sets_of(16)
    values = np.array(list(map(worth, sets)))
    noise = 3 * values.std()
    raced, once = [], []
    for seed in range(40):
        trainer = Trainer(noise, noise)
        raced.append(values[Raced([Random()], trainer, seeds=3).race(sets, seed).winner])
        once.append(values[np.argmax([trainer.score(rows, seed) for rows in sets])])
    top = values.max() - values.mean()
    assert np.mean(raced) - values.mean() > 0.6 * top > 0.1 * top + np.mean(once) - values.mean()


def test_the_winners_worth_is_told_without_the_luck_that_made_it_win():
    sets = sets_of(16)
    values = np.array(list(map(worth, sets)))
    plain, shrunken, spreads = [], [], []
    for seed in range(25):
        race = Raced([Random()], Trainer(0.0, 2 * values.std()), seeds=2).race(sets, seed)
        effects = race.effects
        assert effects is not None
        own = np.mean([value for (number, _), value in race.scores.items() if number == race.winner])
        plain.append(own - values[race.winner])
        shrunken.append(effects.means[effects.names.index(race.winner)] - values[race.winner])
        spreads.append([effects.sets**2, effects.rest**2])
    assert abs(np.mean(shrunken)) < abs(np.mean(plain))
    assert np.mean(spreads, axis=0) == pytest.approx([values.var(ddof=1), 4 * values.var()], rel=0.35)


@dataclass
class Counting:
    """A draw of which it is known how often it was asked."""

    varies: ClassVar[bool] = True
    calls: int = 0

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        self.calls += 1
        return Random()(pool, per_class, rng)


def test_draws_are_asked_in_turn_and_one_without_chance_only_once():
    told: list[Race] = []
    draw = Counting()
    Raced([draw, Herding(Plane())], Trainer(), candidates=8, seeds=2, told=told.append)(
        cloud(60), 3, np.random.default_rng(0)
    )
    assert draw.calls == 4 and told[0].rounds[0] == (5, 2)


def test_a_pool_with_a_single_set_needs_no_race():
    told: list[Race] = []
    pool = cloud(6)
    kept = Raced([Random()], lambda _: pytest.fail("trained"), told=told.append)(pool, 3, np.random.default_rng(0))
    assert sorted(kept.positions) == list(range(6)) and told[0].effects is None
