"""How old the learner is when gradients are compared. It ages on real data and never sees the generator (paper 3.2).

So its states can be trained once and drawn from (`Cached`), or trained anew as the published code does (`Fresh`).
Both are functions of the step alone: a resumed run meets the same learner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dilm.protocols import Bank, Learner
from dilm.runtime import memory
from dilm.runtime.batches import rows_of_step
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.seeding import derive, seed_torch
from dilm.types import Dataset

Advance = Callable[[], None]


@dataclass(frozen=True)
class Ageing:
    """How a learner grows up: `ages` states, `age_steps` optimisation steps apart, the first untrained."""

    train: Dataset
    ages: int
    age_steps: int
    schedule: Schedule
    batch: int
    seed: int
    at_once: int = 0
    """Rows whose graph is kept at a time; 0: as many as are quickest."""

    def start(self, learner: Learner, life: int) -> AdamW:
        """Age 0 of one life: the learner reset with a head of its own."""
        learner.reset(derive(self.seed, "life", life))
        update = AdamW(learner.parameters(), self.schedule)
        update.appetite.amount = self.at_once or update.appetite.amount
        return update

    def grow(self, learner: Learner, update: AdamW, life: int) -> None:
        """Train from one age to the next."""
        learner.train()
        order = derive(self.seed, "life rows", life)
        for step in range(update.step, update.step + self.age_steps):
            seed_torch(self.seed, "life", life, step)  # dropout
            rows = [self.train[row] for row in rows_of_step(len(self.train), step, self.batch, order)]
            update.on(learner.loss, sorted(rows, key=lambda row: row.characters))
        learner.eval()


@dataclass
class Fresh:
    """A new life every `ages` matching steps, one age older at each step: the paper's regime."""

    ageing: Ageing
    at: int = -1
    update: AdamW | None = None

    def __call__(self, learner: Learner, step: int) -> None:
        """Bring the learner to this step's age, through those of steps that were not its own; replays the life from its
        start where it is not in the midst of that."""
        life, age = divmod(step, self.ageing.ages)
        if age == 0 or self.update is None or not step - age <= self.at < step:
            self.update = self.ageing.start(learner, life)
            self.at = life * self.ageing.ages
        for _ in range(self.at, step):
            self.ageing.grow(learner, self.update, life)
        self.at = step
        learner.eval()

    def age(self, step: int) -> None:
        """Every step has a learner of its own."""


class Remembered(dict[str, Mapping[str, Any]]):
    """A bank in memory."""

    def keep(self, state: str, learner: Learner) -> None:
        """What the learner is now."""
        self[state] = learner.snapshot()


@dataclass
class Cached:
    """A bank of a few lives, a snapshot of every age; each step draws one. The bank may have been filled before.

    With `renew_every`, that many steps later other lives are drawn from, trained when they are first met, and kept only
    until others take their place: at 1, every step has lives of its own.
    """

    ageing: Ageing
    lives: int
    seed: int = 0
    renew_every: int = 0
    bank: Bank = field(default_factory=Remembered)
    passing: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The states that are met before the next renewal."""
    current: str = ""

    def fill(self, learner: Learner, advance: Advance) -> None:
        """Train the first lives; `advance` is called after each age."""
        for life in range(self.lives):
            self._live(learner, life, advance)

    def __call__(self, learner: Learner, step: int) -> None:
        """Put the learner into the state drawn for this step."""
        state = self.state(step)
        if state != self.current:
            learner.restore(self._found(learner, step))
            self.current = state
        learner.eval()

    def age(self, step: int) -> str | None:
        """The state drawn for the step; None where it is not kept in the bank."""
        state = self.state(step)
        return state if _life(state) < self.lives else None

    def state(self, step: int) -> str:
        """`life.age`, drawn uniformly for the step."""
        first = step // self.renew_every * self.lives if self.renew_every else 0
        draw = derive(self.seed, "age", step)
        return f"{first + draw % self.lives}.{draw // self.lives % self.ageing.ages}"

    def _found(self, learner: Learner, step: int) -> Mapping[str, Any]:
        state = self.state(step)
        if _life(state) < self.lives:
            self._live(learner, _life(state))
            return self.bank[state]
        if state not in self.passing:
            self.passing = {}
            self._renew(learner, step // self.renew_every * self.renew_every)
        return self.passing[state]

    def _renew(self, learner: Learner, first: int) -> None:
        """Train other lives, as far as the steps from `first` to the next renewal meet them."""
        met = {self.state(step) for step in range(first, first + self.renew_every)}
        for life in sorted(set(map(_life, met))):
            oldest = max(int(state.partition(".")[2]) for state in met if _life(state) == life)
            for state in self._grow(learner, life, oldest + 1):
                if state in met:
                    self.passing[state] = learner.snapshot()

    def _live(self, learner: Learner, life: int, advance: Advance = lambda: None) -> None:
        """Train one life and keep its ages, where the bank does not have all of them."""
        if all(f"{life}.{age}" in self.bank for age in range(self.ageing.ages)):
            return
        for state in self._grow(learner, life, self.ageing.ages):
            self.bank.keep(state, learner)
            advance()

    def _grow(self, learner: Learner, life: int, ages: int) -> Iterator[str]:
        """Each state of a life's first `ages`, in which the learner then is."""
        update = self.ageing.start(learner, life)
        for age in range(ages):
            if age:
                self.ageing.grow(learner, update, life)
                update.forget()
                memory.trim()  # a snapshot is as large as what training has just freed
            yield f"{life}.{age}"


def _life(state: str) -> int:
    return int(state.partition(".")[0])
