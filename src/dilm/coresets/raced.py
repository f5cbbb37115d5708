"""Sets raced against each other by short trainings of a learner: each round half of them, and twice the seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from dilm.coresets.classwise import require_rows
from dilm.numerics.effects import Effects, fit_effects
from dilm.protocols import Selector
from dilm.runtime.seeding import derive
from dilm.types import Dataset, Selection

Train = Callable[[Sequence[tuple[Dataset, int]]], Sequence[float]]
"""(rows, seed) of several trainings -> the score on held-out rows of a learner after each; the same every time."""

Finish = Callable[["Race"], None]


@dataclass(frozen=True)
class Race:
    """How a race went."""

    rounds: tuple[tuple[int, int], ...]
    """(sets, trainings of each) of every round."""
    scores: dict[tuple[int, int], float]
    """By set and seed, both counted from 0."""
    winner: int

    @cached_property
    def effects(self) -> Effects | None:
        """What the sets are worth, and how much sets and seeds vary; None of a single set, which needs no race."""
        if not self.scores:
            return None
        sets, seeds = zip(*self.scores, strict=True)
        return fit_effects(list(self.scores.values()), sets, seeds)


@dataclass(frozen=True)
class Raced:
    """Successive halving (Jamieson & Talwalkar 2016) over sets that other selectors draw.

    Most of what one training shows is its seed, so every set meets the same seeds in every round: what these do to all
    sets alike cancels. Half of the sets with the better means go on and are trained with as many seeds again, until one
    is left. The scores of earlier rounds count on.

    The mean of a winner is too good, for luck helped it win. What it is worth is told by `Race.effects`.
    """

    draws: Sequence[Selector]
    """Asked in turn; the same set is raced once."""
    train: Train
    candidates: int = 16
    seeds: int = 3
    """Trainings of each set in the first round; two at the least, or sets could not be told from luck."""
    told: Finish = lambda race: None
    varies: ClassVar[bool] = True

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class."""
        require_rows(pool, per_class)
        sets = self._drawn(pool, per_class, rng)
        race = self.race([pool.take(positions) for positions in sets], int(rng.integers(2**31)))
        self.told(race)
        return Selection(sets[race.winner], pool.fingerprint)

    def _drawn(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """Different sets, as many as are wanted or as the draws give."""
        found: dict[frozenset[int], tuple[int, ...]] = {}
        for number in range(self.candidates):
            draw = self.draws[number % len(self.draws)]
            if number < len(self.draws) or draw.varies:
                positions = draw(pool, per_class, rng).positions
                found.setdefault(frozenset(positions), positions)
        return list(found.values())

    def race(self, sets: Sequence[Dataset], seed: int) -> Race:
        """All rounds; equal means are won by the set that was drawn first."""
        left, seeds = list(range(len(sets))), self.seeds
        scores: dict[tuple[int, int], float] = {}
        rounds: list[tuple[int, int]] = []
        while len(left) > 1:
            new = [(number, each) for number in left for each in range(seeds) if (number, each) not in scores]
            asked = [(sets[number], derive(seed, "race", each)) for number, each in new]
            scores.update(zip(new, self.train(asked), strict=True))
            rounds.append((len(left), seeds))
            means = np.array([[scores[number, each] for each in range(seeds)] for number in left]).mean(axis=1)
            left = [left[place] for place in np.argsort(-means, kind="stable")[: len(left) // 2]]
            seeds *= 2
        return Race(tuple(rounds), scores, left[0])


def trainings(candidates: int, seeds: int) -> int:
    """How many trainings a race takes.

    >>> trainings(16, 3)
    120
    """
    total, before = 0, 0
    while candidates > 1:
        total += candidates * (seeds - before)
        candidates, before, seeds = candidates // 2, seeds, 2 * seeds
    return total
