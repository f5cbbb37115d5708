"""evaluate: learners trained on every set, ours and the baselines', in the same trials, a row of scores.jsonl each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from dilm.build import Bench, full_schedule, is_scratch, trial_schedule
from dilm.data import jsonl
from dilm.data.own_sets import read_sets
from dilm.errors import RecipeError
from dilm.evaluation.trials import Trial, arms, run_trial
from dilm.models.classifier import Classifier
from dilm.models.hub import identity
from dilm.recipe import Runtime
from dilm.runs import cache_folder
from dilm.runtime import workers
from dilm.runtime.device import choose
from dilm.runtime.progress import bar
from dilm.stages.select import real_sets, synthetic_sets
from dilm.types import Dataset, Score, Task
from dilm.version import VERSION

FULL = "full"


def run(bench: Bench, also: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Facts: trials run now and trials known already. `also` names files with sets of the user's own,
    of which as many are measured as there are of ours.

    Every finished trial is on disk at once, so a killed evaluation resumes at the next one.
    """
    sets = synthetic_sets(bench) | real_sets(bench)
    for name, file in (also or {}).items():
        if name in (*sets, FULL):
            raise RecipeError(
                f"{name!r} is the name of a method of this run already.", "Choose another for your own set."
            )
        sets[name] = read_sets(Path(file), bench.task, bench.recipe.per_class)[: bench.recipe.select.sets]
    jobs = list(plan(bench, sets))
    trials = [job.trial for job in jobs]
    known = measured(bench)
    missing = list({job.trial.key: job for job in jobs if job.trial.key not in known}.values())
    with bar("evaluate", len(trials), len(trials) - len(missing)) as advance:
        for job, score in workers.run(measure, missing, _workers(bench)):
            jsonl.append(scores_file(bench), {"trial": job.trial.key, **asdict(score)})
            advance(1, **{job.trial.method: score.value})
    names = ("key", "method", "learner", "per_class", "set", "seed")
    return {
        "known": len(trials) - len(missing),
        "trials": [{name: getattr(trial, name) for name in names} for trial in trials],
    }


@dataclass(frozen=True)
class Job:
    """A trial, and what a process needs to run it."""

    trial: Trial
    folder: str
    """Where the learner's initial weights are."""
    runtime: Runtime


def measure(job: Job) -> Score:
    """Run one trial, or take its score from the user's cache where another run measured the very same.

    So full data, and the coresets that runs on one dataset share, are trained on once. Another version of dilm may
    train differently, so it measures anew.
    """
    trial, kept = job.trial, cache_folder() / "trials" / VERSION / f"{job.trial.key}.jsonl"
    if kept.exists():
        return Score(**jsonl.read(kept)[0])
    score = run_trial(trial, _learner(job.folder, trial.identity, trial.test.task, job.runtime))
    kept.parent.mkdir(parents=True, exist_ok=True)
    jsonl.write(kept, [asdict(score)])
    return score


@lru_cache(maxsize=1)
def _learner(folder: str, identity: str, task: Task, runtime: Runtime) -> Classifier:
    """Opened once for all trials of a process; `identity` tells when the folder holds other weights than before."""
    return Classifier.open(folder, task, choose(runtime.device, runtime.precision), task.max_tokens)


def _workers(bench: Bench) -> int:
    if wanted := bench.recipe.runtime.workers:
        return wanted
    return (os.cpu_count() or 1) if bench.place.device.type == "cpu" else 1


def plan(bench: Bench, sets: Mapping[str, list[Dataset]]) -> Iterator[Job]:
    """Every trial of this evaluation, the longest first; full data is trained on once per learner."""
    recipe, wanted, test = bench.recipe, bench.recipe.evaluate, bench.splits.test
    for learner in {bench.learner_folder(learner): learner for learner in reversed(wanted.learners)}.values():
        name, folder = known_as(bench, learner), bench.learner_folder(learner)
        content = identity(folder)
        if FULL in wanted.baselines:
            schedule = full_schedule(recipe)
            trial = Trial(FULL, name, 0, 0, 0, bench.splits.train, test, schedule, wanted.batch, content)
            yield Job(trial, folder, recipe.runtime)
        for method, number, seed, rows in arms(dict(sets), wanted.seeds):
            schedule, size = trial_schedule(recipe), recipe.per_class
            trial = Trial(method, name, size, number, seed, rows, test, schedule, wanted.batch, content)
            yield Job(trial, folder, recipe.runtime)


def measured(bench: Bench) -> dict[str, Score]:
    """Trial key to score, of every row in scores.jsonl."""
    file = scores_file(bench)
    names = {field.name for field in fields(Score)}
    rows = jsonl.read(file) if file.exists() else []
    return {row["trial"]: Score(**{name: row[name] for name in names}) for row in rows}


def scores(bench: Bench, trials: list[dict[str, Any]]) -> list[Score]:
    """The scores of the trials that a finished evaluation named, each under its own method.

    Two methods that gave the very same rows share one training; rows of earlier settings stay in the file unread.
    """
    known = measured(bench)
    return [replace(known[trial["key"]], **{name: trial[name] for name in trial if name != "key"}) for trial in trials]


def scores_file(bench: Bench) -> Path:
    """Where every measurement of the run is appended."""
    return bench.run.folder / "scores.jsonl"


def known_as(bench: Bench, learner: str) -> str:
    """A learner's name in tables: a hub id as it is, of a folder its last part."""
    name = bench.recipe.models.learner if learner == "same" else learner
    return Path(name).resolve().name if not is_scratch(name) and Path(name).is_dir() else name
