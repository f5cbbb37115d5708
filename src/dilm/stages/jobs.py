"""Trials as jobs: what a process needs to run one, scores that another run measured already, and where they run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

from dilm.build import Bench
from dilm.data import jsonl
from dilm.evaluation.in_context import PromptTrial, run_prompt_trial
from dilm.evaluation.text_generation import TextPromptTrial, TextTrial, run_text_prompt, run_text_trial
from dilm.evaluation.trials import Trial, run_trial
from dilm.recipe import Runtime, Server
from dilm.runs import cache_folder
from dilm.runtime import cluster, workers
from dilm.stages.students import Enrolled, embedded_student, enrolled, renew_budgets, scorer, student, writing_student
from dilm.types import Score
from dilm.version import VERSION

AnyTrial: TypeAlias = Trial | PromptTrial | TextTrial | TextPromptTrial


@dataclass(frozen=True)
class Job:
    """A trial, and what a process needs to run it."""

    trial: AnyTrial
    who: Enrolled
    runtime: Runtime
    embeddings: str = ""
    """File of the embeddings that are learnt from instead of the trial's rows."""
    server: Server = field(default_factory=Server)
    """How a served learner is asked."""


def measure(job: Job) -> Score:
    """Run one trial, or take its score from the user's cache where another run measured the very same.

    So full data, and the coresets that runs on one dataset share, are trained on once. Another version of dilm may
    train differently, so it measures anew.
    """
    if score := _known(job):
        return score
    score = _run(job)
    _kept(job).parent.mkdir(parents=True, exist_ok=True)
    jsonl.write(_kept(job), [asdict(score)])
    return score


def _known(job: Job) -> Score | None:
    """Its score, where the cache has it."""
    return Score(**jsonl.read(_kept(job))[0]) if _kept(job).exists() else None


def _kept(job: Job) -> Path:
    """Its file in the cache."""
    return cache_folder() / "trials" / VERSION / f"{job.trial.key}.jsonl"


def _run(job: Job) -> Score:
    trial = job.trial
    if isinstance(trial, TextTrial):
        taught = writing_student(job.who, trial.test.task, trial.schedule, trial.batch, job.runtime)
        return run_text_trial(trial, taught)
    if isinstance(trial, TextPromptTrial):
        return run_text_prompt(trial, scorer(job.who, job.runtime, job.server))
    if isinstance(trial, PromptTrial):
        return run_prompt_trial(trial, scorer(job.who, job.runtime, job.server))
    if job.embeddings:
        return run_trial(trial, embedded_student(job.who, trial.test.task, Path(job.embeddings), job.runtime))
    return run_trial(trial, student(job.who, trial.test.task, trial.schedule, trial.batch, job.runtime))


def run_all(bench: Bench, jobs: list[Job]) -> Iterator[tuple[Job, Score]]:
    """Every job with its score, as they finish: first what is known, for which no process is started. Servers are asked
    last, when all else is on disk, and by this process alone: their budgets are counted here."""
    missing = []
    for job in jobs:
        if score := _known(job):
            yield job, score
        else:
            missing.append(job)
    served = [job for job in missing if job.who.endpoint]
    yield from _on_engine(bench, [job for job in missing if not job.who.endpoint])
    renew_budgets()
    yield from workers.run(measure, served, 1)


def _on_engine(bench: Bench, jobs: list[Job]) -> Iterator[tuple[Job, Score]]:
    """Where the recipe says."""
    runtime = bench.recipe.runtime
    if not jobs:
        return iter(())
    if runtime.engine == "ray":
        return cluster.run(measure, jobs, runtime.cluster)
    return workers.run(measure, jobs, _workers(bench))


def _workers(bench: Bench) -> int:
    if wanted := bench.recipe.runtime.workers:
        return wanted
    if any(who.way.way == "prompt" for who in enrolled(bench)):
        return 1  # a language model is large
    return (os.cpu_count() or 1) if bench.place.device.type == "cpu" else 1
