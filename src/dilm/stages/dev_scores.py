"""What sets teach, told by dev rows: every learner trained on every set, as `evaluate` does it on test rows.

For whoever compares ways to make sets, a search or an experiment: test rows are for what was chosen, not for choosing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from dilm.build import Bench
from dilm.errors import RecipeError
from dilm.evaluation.text_generation import TextTrial
from dilm.evaluation.trials import Arm, Trial, arms, once_each
from dilm.schedules import trial_schedule
from dilm.stages.choosing import raced_on
from dilm.stages.jobs import Job, run_all
from dilm.stages.students import Enrolled, enrolled
from dilm.types import Dataset, Score

DEV = "dev"


@dataclass(frozen=True)
class Mark:
    """A mean over learners, sets and seeds, and its standard error."""

    mean: float
    error: float | None
    """How much the mean would differ with other sets, from how much these do; None of a single set. Dev rows are the
    same for all: what other rows would say stands in no error."""
    learners: Mapping[str, float]
    """The mean with each learner."""


def unraced(bench: Bench) -> Dataset:
    """The dev rows that no race of sets looks at: all where the target is text, for which there are no races.

    Raises RecipeError where none is left.
    """
    if bench.task.writes:
        return bench.splits.dev
    raced = set(raced_on(bench))
    if left := [row for row in bench.splits.dev if row not in raced]:
        return Dataset(bench.task, left)
    raise RecipeError(
        f"Races of sets look at all {len(raced)} dev rows, and none is left to score their winners on.",
        "Lower race.rows, hold out more rows (data.dev_rows), or choose without races.",
    )


def dev_jobs(bench: Bench, sets: Mapping[str, Sequence[Dataset]], rows: Dataset) -> list[Job]:
    """Every training of every learner that is trained: on each set of each method, `evaluate.seeds` times, or once
    where nothing is drawn. Learners that read the set as demonstrations are left out."""
    return [
        Job(_trial(bench, who, rows, arm), who, bench.recipe.runtime)
        for who in enrolled(bench)
        if not who.reads
        for arm in (arms(sets, bench.recipe.evaluate.seeds) if who.draws else once_each(sets))
    ]


def dev_scores(bench: Bench, jobs: list[Job]) -> Iterator[Score]:
    """The score of each, as they finish, under its own method, set and seed."""
    for job, score in run_all(bench, jobs):
        named = {name: getattr(job.trial, name) for name in ("method", "learner", "set", "seed")}
        yield replace(score, **named, split=DEV)


def mark(scores: Sequence[Score]) -> Mark:
    """What scores of one method come to: all learners count alike, and all sets.

    >>> def score(who, number, value):
    ...     return Score("dilm", who, 5, number, 0, value, value, value, 10, 0.0)
    >>> found = mark([score("a", 0, 0.5), score("a", 1, 0.7), score("b", 0, 0.9), score("b", 1, 0.9)])
    >>> round(found.mean, 3), round(found.error, 3), found.learners
    (0.75, 0.05, {'a': 0.6, 'b': 0.9})
    """
    sets, learners = sorted({s.set for s in scores}), list(dict.fromkeys(s.learner for s in scores))
    grid = {
        who: [fmean(s.value for s in scores if (s.learner, s.set) == (who, number)) for number in sets]
        for who in learners
    }
    each = [fmean(column) for column in zip(*grid.values(), strict=True)]  # of every set
    error = stdev(each) / math.sqrt(len(each)) if len(each) > 1 else None
    return Mark(fmean(each), error, {who: fmean(values) for who, values in grid.items()})


def _trial(bench: Bench, who: Enrolled, dev: Dataset, arm: Arm) -> Trial | TextTrial:
    """Where the target is text the score is a perplexity, and no answers are written."""
    method, number, seed, rows = arm
    about = (method, who.name, bench.recipe.per_class, number, seed, rows, dev)
    schedule, batch = trial_schedule(bench.recipe), bench.recipe.evaluate.batch
    if bench.task.writes:
        return TextTrial(*about, schedule, batch, who.identity, answers=0)
    return Trial(*about, schedule if who.draws else None, batch, who.identity)
