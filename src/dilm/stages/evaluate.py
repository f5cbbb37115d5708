"""evaluate: learners trained on every set, ours and the baselines', in the same trials, a row of scores.jsonl each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dilm.build import Bench
from dilm.data import jsonl
from dilm.data.own_sets import read_sets
from dilm.data.splits import carve
from dilm.errors import RecipeError
from dilm.evaluation.in_context import CONTENT_FREE, PromptTrial
from dilm.evaluation.text_generation import TextPromptTrial, TextTrial
from dilm.evaluation.trials import Arm, Trial, arms, once_each
from dilm.runtime.hashing import key
from dilm.runtime.optimize import Schedule
from dilm.runtime.progress import bar
from dilm.runtime.seeding import derive
from dilm.schedules import full_schedule, trial_schedule
from dilm.stages import records
from dilm.stages.embed import EMBEDDED, PROJECTED, embedded_file, projected_file
from dilm.stages.jobs import Job, run_all
from dilm.stages.select import real_sets, synthetic_sets
from dilm.stages.students import Enrolled, enrolled
from dilm.stages.variants import VARIANTS, variants
from dilm.types import Dataset

FULL = "full"


def run(bench: Bench, also: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Facts: trials run now and trials known already. `also` names files or folders with sets of the user's own,
    of which as many are measured as there are of ours.

    Every finished trial is on disk at once, so a killed evaluation resumes at the next one. In the end scores.jsonl has
    a row for each name in this evaluation, and no others.
    """
    sets = synthetic_sets(bench) | real_sets(bench) | _projected(bench)
    for name, file in (also or {}).items():
        if name in (*sets, FULL):
            raise RecipeError(
                f"{name!r} is the name of a method of this run already.", "Choose another for your own set."
            )
        sets[name] = read_sets(Path(file).expanduser(), bench.task, bench.recipe.per_class)[: bench.recipe.select.sets]
    sets |= variants(bench, sets)
    test = scored_rows(bench)
    jobs = list(plan(bench, sets, test))
    trials = [job.trial for job in jobs]
    known = records.measured(bench)
    missing = list({job.trial.key: job for job in jobs if job.trial.key not in known}.values())
    tokens, on = 0, records.measured_on(bench)
    with bar("evaluate", len(trials), len(trials) - len(missing)) as advance:
        for job, score in run_all(bench, missing):
            tokens += score.tokens
            jsonl.append(records.scores_file(bench), records.row_of(job.trial.key, score, on))
            advance(1, **{job.trial.method: score.value})
    names = ("key", "method", "learner", "per_class", "set", "seed")
    named = [{name: getattr(trial, name) for name in names} for trial in trials]
    records.settle(bench, named)
    return {"known": len(trials) - len(missing), "tokens": tokens, "rows": len(test), "trials": named}


def scored_rows(bench: Bench) -> Dataset:
    """The test rows that learners are scored on: all of them, or a draw in the classes' proportions."""
    test, wanted = bench.splits.test, bench.recipe.evaluate.rows
    return carve(test, wanted, derive(bench.recipe.data_seed, "scored"))[1] if 0 < wanted < len(test) else test


def plan(bench: Bench, sets: Mapping[str, list[Dataset]], test: Dataset) -> Iterator[Job]:
    """Every trial of this evaluation, the longest first; full data is trained on once per learner."""
    for who in enrolled(bench):
        asked = partial(_question, who, test)
        if FULL in bench.recipe.evaluate.baselines and not who.reads:
            yield _job(bench, who, full_schedule(bench.recipe), asked(0, (FULL, 0, 0, bench.splits.train)))
        if EMBEDDED in bench.recipe.evaluate.baselines and who.is_own(bench):
            yield from _embedded(bench, who, test)
        shown = {name: several for name, several in sets.items() if not who.reads or name not in VARIANTS}
        repeats = bench.recipe.prompt.orders if who.reads else bench.recipe.evaluate.seeds
        for arm in arms(shown, repeats) if who.draws else once_each(shown):
            yield _job(bench, who, trial_schedule(bench.recipe), asked(bench.recipe.per_class, arm))


def _embedded(bench: Bench, who: Enrolled, test: Dataset) -> Iterator[Job]:
    """Trainings on the embeddings, as many as a deterministic coreset has; their rows are what they look like."""
    file, shown = embedded_file(bench), _projected_rows(bench)
    sets, seeds = bench.recipe.select.sets, bench.recipe.evaluate.seeds
    content = key(["embeddings", hashlib.sha256(file.read_bytes()).hexdigest(), who.identity])
    for seed in range(sets * seeds):
        asked = _question(who, test, bench.recipe.per_class, (EMBEDDED, 0, seed, shown))
        yield Job(_trial(bench, replace(who, identity=content), None, asked), who, bench.recipe.runtime, str(file))


def _projected(bench: Bench) -> dict[str, list[Dataset]]:
    """The embeddings as text, where they are a baseline."""
    return {PROJECTED: [_projected_rows(bench)]} if PROJECTED in bench.recipe.evaluate.baselines else {}


def _projected_rows(bench: Bench) -> Dataset:
    return jsonl.read_dataset(projected_file(bench), bench.task)


def _job(bench: Bench, who: Enrolled, schedule: Schedule, asked: dict[str, Any]) -> Job:
    if bench.task.writes:
        return _text_job(bench, who, schedule, asked)
    if not who.reads:
        return Job(_trial(bench, who, schedule if who.draws else None, asked), who, bench.recipe.runtime)
    free = CONTENT_FREE if bench.recipe.evaluate.calibrate else ()
    prompted = PromptTrial(**asked, identity=who.identity, content_free=free)
    return Job(prompted, who, bench.recipe.runtime, server=bench.recipe.server)


def _text_job(bench: Bench, who: Enrolled, schedule: Schedule, asked: dict[str, Any]) -> Job:
    """Of a task whose target is text: a training, or a prompting."""
    asked |= {"identity": who.identity, "answers": bench.recipe.generation.answers}
    if who.reads:
        return Job(TextPromptTrial(**asked), who, bench.recipe.runtime)
    return Job(TextTrial(**asked, schedule=schedule, batch=bench.recipe.evaluate.batch), who, bench.recipe.runtime)


def _trial(bench: Bench, who: Enrolled, schedule: Schedule | None, asked: dict[str, Any]) -> Trial:
    return Trial(**asked, schedule=schedule, batch=bench.recipe.evaluate.batch, identity=who.identity)


def _question(who: Enrolled, test: Dataset, per_class: int, arm: Arm) -> dict[str, Any]:
    """What every trial asks."""
    names = ("method", "set", "seed", "rows")
    return {"learner": who.name, "per_class": per_class, "test": test, **dict(zip(names, arm, strict=True))}
