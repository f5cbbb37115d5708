"""Trials: one learner, trained once on one set, scored once. Independent of each other, known by their content."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dilm.evaluation.finetune import finetune
from dilm.numerics.metrics import accuracy, macro_f1, score
from dilm.protocols import Learner
from dilm.runtime.hashing import key
from dilm.runtime.optimize import Schedule
from dilm.types import Dataset, Score


@dataclass(frozen=True)
class Trial:
    """What is to be measured. `rows` is trained on, `test` is scored."""

    method: str
    learner: str
    per_class: int
    set: int
    seed: int
    rows: Dataset
    test: Dataset
    schedule: Schedule
    batch: int
    identity: str
    """Content key of the learner's initial weights."""

    @property
    def key(self) -> str:
        """Equal keys, equal scores: what was measured once need not be measured again."""
        task = self.test.task  # how long learners read, and how they are scored, stands in no fingerprint
        data = (self.rows.fingerprint, self.test.fingerprint, task.max_tokens, task.metric)
        return key([self.identity, data, repr(self.schedule), self.batch, self.seed])


def arms(sets: dict[str, Sequence[Dataset]], seeds: int) -> Iterator[tuple[str, int, int, Dataset]]:
    """(method, set, seed, rows) of every trial: each set is trained on `seeds` times, with seeds of its own.

    Set number 3 of every method meets the same seeds, so that methods can be compared in pairs. A method with one set
    meets them all: a deterministic coreset is trained on as often as the others (paper 1.6: herding, 1 set, 100 times).
    """
    most = max((len(several) for several in sets.values()), default=0)
    for method, several in sets.items():
        repeats = seeds * most if len(several) == 1 else seeds
        for number, rows in enumerate(several):
            for repeat in range(repeats):
                yield method, number, number * seeds + repeat, rows


def run_trial(trial: Trial, learner: Learner, advance: Callable[..., None] | None = None) -> Score:
    """Train and score; the learner is left trained."""
    begin = time.monotonic()
    finetune(learner, trial.rows, trial.schedule, trial.batch, trial.seed, advance)
    predicted, truth = learner.predict(trial.test), trial.test.labels
    task = trial.test.task
    return Score(
        method=trial.method,
        learner=trial.learner,
        per_class=trial.per_class,
        set=trial.set,
        seed=trial.seed,
        value=score(task.metric, predicted, truth, len(task.labels)),
        accuracy=accuracy(predicted, truth),
        macro_f1=macro_f1(predicted, truth, len(task.labels)),
        rows=len(trial.rows),
        seconds=time.monotonic() - begin,
    )
