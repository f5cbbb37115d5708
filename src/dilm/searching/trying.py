"""One trial of a search: the road up to the sets under a recipe of its own, scored by what learners make of them.

What does not depend on the settings that were changed is taken from earlier trials. Test rows are not read: neither
`evaluate` nor `audit` is run, and the source is divided once, in the `base` run, from which every trial takes it.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dilm import leaderboard, pipeline, runs
from dilm.build import Bench
from dilm.errors import RunError
from dilm.journal import SEARCHING
from dilm.recipe import Recipe, book
from dilm.runs import Run
from dilm.searching.studies import FOLDER, MEASURED, known
from dilm.stages.dev_scores import dev_jobs, dev_scores, mark, unraced
from dilm.stages.grading import in_metric
from dilm.stages.select import synthetic_sets
from dilm.types import Score

if TYPE_CHECKING:
    from optuna.trial import Trial

OURS = "dilm"
BASE, TRIALS = "base", "trials"
SETS = 101
"""Steps of a trial's scores on the way: percent of `match`, then from here on one for each set that was scored."""
ENOUGH = 5
"""Trials that must be finished before any is stopped early."""


def unmeasured(recipe: Recipe) -> Recipe:
    """The recipe of a trial: no baselines, for nobody is compared with them here."""
    return book.override(recipe, {"evaluate.baselines": (), "evaluate.robust": False})


def run_trial(way: Way, out: Path, recipe: Recipe) -> float:
    """Run the road up to the sets, score these on dev rows; returns the mean. Raises TrialPruned on the way."""
    trial = way.trial
    folder = out / TRIALS / trial.user_attrs.get(FOLDER, f"{trial.number:04d}")
    trial.set_user_attr(FOLDER, folder.name)
    run = runs.create(folder, recipe, resume=True)
    with pipeline.at_work(run) as bench:
        bench.watch = way.graded
        trial.set_user_attr("shared", _taken(out, run))
        for name in (*pipeline.needed("select"), "select"):
            facts = pipeline.run_stage(bench, name)
            if name == "match":
                way.catch_up(facts["curve"], recipe.match.steps)
        with bench.gate.opened(SEARCHING):
            trial.study.set_user_attr(MEASURED, {"task": bench.task.name, "metric": bench.task.metric})
            found = mark(_scores(bench, way))
    trial.set_user_attr("error", found.error)
    trial.set_user_attr("learners", dict(found.learners))
    return found.mean


def _scores(bench: Bench, way: Way) -> list[Score]:
    """Of all our sets with all learners; one set after the other where a trial may be stopped between them."""
    rows = unraced(bench) if way.races else bench.splits.dev
    jobs = dev_jobs(bench, {OURS: synthetic_sets(bench)[OURS]}, rows)
    numbers = sorted({job.trial.set for job in jobs})
    found: list[Score] = []
    for several in [[number] for number in numbers] if way.prune else [numbers]:
        found += dev_scores(bench, [job for job in jobs if job.trial.set in several])
        way.told(SETS + several[-1], mark(found).mean)
    return found


class Way:
    """A trial's scores on the way to its end, reported to the study."""

    def __init__(self, trial: Trial, prune: float, metric: str = "score", races: bool = False) -> None:
        """`races`: whether any trial of the search may race sets; what races look at scores no trial then."""
        self.trial, self.prune, self.metric, self.races = trial, prune, metric, races

    def told(self, step: int, value: float) -> None:
        """Report a score; raise TrialPruned where it is among the worst at this step of the finished trials.

        Checkpoints of `match` and sets are scored differently, so each kind is compared with its own.
        """
        from optuna import TrialPruned
        from optuna.pruners import PercentilePruner

        self.trial.report(value, step)
        if not self.prune:
            return
        frozen = copy.copy(known(self.trial))
        kept = {at: each for at, each in frozen.intermediate_values.items() if (at >= SETS) == (step >= SETS)}
        frozen.intermediate_values = kept
        if PercentilePruner(100 - self.prune, ENOUGH).prune(self.trial.study, frozen):
            raise TrialPruned

    def graded(self, percent: int, grade: float) -> None:
        """The same of a checkpoint's grade, of which more is better in any task."""
        self.told(percent, in_metric(grade, self.metric))

    def catch_up(self, curve: list[dict[str, float]], steps: int) -> None:
        """Report what an earlier process, or another trial, measured of the same `match`."""
        for row in curve:
            step = round(100 * row["step"] / max(steps, 1))
            if "dev_score" in row and step not in known(self.trial).intermediate_values:
                self.graded(step, row["dev_score"])


def _taken(out: Path, run: Run) -> list[str]:
    """Stages taken from the base and from other trials, by hard links where the disk has them."""
    found: list[str] = []
    for other in _others(out, run.folder):
        with suppress(OSError, RunError):  # another process may be writing there
            found += leaderboard.share(other, run, _linked)
    return found


def _others(out: Path, own: Path) -> Iterator[Run]:
    for folder in (out / BASE, *sorted((out / TRIALS).iterdir())):
        if folder != own and (folder / runs.RECIPE).exists():
            yield runs.existing(folder)


def _linked(source: str, target: str) -> None:
    """Finished stages are never written to, so one copy serves all."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
