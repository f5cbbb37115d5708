"""Trials: one learner, trained once on one set, scored once. Independent of each other, known by their content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dilm.numerics.metrics import accuracy, macro_f1, score
from dilm.protocols import Student
from dilm.runtime.hashing import key
from dilm.runtime.meter import Spent, spent
from dilm.runtime.optimize import Schedule
from dilm.types import Dataset, Score

Arm = tuple[str, int, int, Dataset]
"""(method, set, seed, rows): what is compared, apart from who learns."""


@dataclass(frozen=True)
class Question:
    """What any trial asks: what `learner` makes of `test` after `rows`, a set of `method`."""

    method: str
    learner: str
    per_class: int
    set: int
    seed: int
    rows: Dataset
    test: Dataset

    def scored(self, predicted: Sequence[int], begin: Spent) -> Score:
        """The answers to `test`, to a question that was put when so much had been `spent`."""
        task, truth, cost = self.test.task, self.test.labels, spent() - begin
        return Score(
            method=self.method,
            learner=self.learner,
            per_class=self.per_class,
            set=self.set,
            seed=self.seed,
            value=score(task.metric, predicted, truth, len(task.labels)),
            accuracy=accuracy(predicted, truth),
            macro_f1=macro_f1(predicted, truth, len(task.labels)),
            rows=len(self.rows),
            seconds=cost.seconds,
            tokens=cost.tokens,
        )


@dataclass(frozen=True)
class Trial(Question):
    """One training on `rows`, scored on `test`."""

    schedule: Schedule | None
    """How every weight is trained; None where only a linear head is, which needs no schedule."""
    batch: int
    identity: str
    """Content key of the learner: of its initial weights, and of the way it learns where that is no fine-tuning."""

    @property
    def key(self) -> str:
        """Equal keys, equal scores: what was measured once need not be measured again."""
        task = self.test.task  # how long learners read, and how they are scored, stands in no fingerprint
        apart = ["pairs"] if task.is_pair and self.schedule is None else []  # linear heads once read both texts in one
        data = (self.rows.fingerprint, self.test.fingerprint, task.longest_example, task.metric)
        return key([self.identity, data, repr(self.schedule), self.batch, self.seed, *apart])


def arms(sets: Mapping[str, Sequence[Dataset]], seeds: int) -> Iterator[Arm]:
    """Every trial: each set is trained on `seeds` times, with seeds of its own.

    Set number 3 of every method meets the same seeds, so that methods can be compared in pairs. A method with one set
    meets them all: a deterministic coreset is trained on as often as the others (paper 1.6: herding, 1 set, 100 times).
    """
    most = max((len(several) for several in sets.values()), default=0)
    for method, several in sets.items():
        repeats = seeds * most if len(several) == 1 else seeds
        for number, rows in enumerate(several):
            for repeat in range(repeats):
                yield method, number, number * seeds + repeat, rows


def once_each(sets: Mapping[str, Sequence[Dataset]]) -> Iterator[Arm]:
    """The same for a learner that draws nothing at random: one trial for each set, all with seed 0."""
    for method, several in sets.items():
        for number, rows in enumerate(several):
            yield method, number, 0, rows


def run_trial(trial: Trial, student: Student) -> Score:
    """Train and score; the student is left trained."""
    begin = spent()
    student.train_on(trial.rows, trial.seed)
    return trial.scored(student.predict(trial.test), begin)
