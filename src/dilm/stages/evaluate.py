"""evaluate: learners trained on every set, ours and the baselines', in the same trials, a row of scores.jsonl each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from dilm.build import Bench, full_schedule, is_scratch, trial_schedule
from dilm.data import jsonl
from dilm.data.own_sets import read_sets
from dilm.evaluation.trials import Trial, arms, run_trial
from dilm.models.classifier import Classifier
from dilm.models.hub import identity
from dilm.runs import cache_folder
from dilm.runtime.progress import bar
from dilm.stages.select import real_sets, synthetic_sets
from dilm.types import Dataset, Score

FULL = "full"


def run(bench: Bench, also: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Facts: trials run now and trials known already. `also` names files with sets of the user's own.

    Every finished trial is on disk at once, so a killed evaluation resumes at the next one.
    """
    sets = synthetic_sets(bench) | real_sets(bench)
    for name, file in (also or {}).items():
        sets[name] = read_sets(Path(file), bench.task, bench.recipe.per_class)
    trials = list(plan(bench, sets))
    known = measured(bench)
    missing = list({trial.key: trial for trial in trials if trial.key not in known}.values())
    with bar("evaluate", len(trials), len(trials) - len(missing)) as advance:
        for name in bench.recipe.evaluate.learners:
            of_learner = [trial for trial in missing if trial.learner == known_as(bench, name)]
            learner = bench.learner(name) if of_learner else None
            for trial in of_learner:
                score = _full(trial, learner) if trial.method == FULL else run_trial(trial, learner)
                jsonl.append(scores_file(bench), {"trial": trial.key, **asdict(score)})
                advance(1, **{trial.method: score.value})
    names = ("key", "method", "learner", "per_class", "set", "seed")
    return {
        "known": len(trials) - len(missing),
        "trials": [{name: getattr(trial, name) for name in names} for trial in trials],
    }


def plan(bench: Bench, sets: Mapping[str, list[Dataset]]) -> Iterator[Trial]:
    """Every trial of this evaluation; full data is trained on once per learner."""
    wanted, test = bench.recipe.evaluate, bench.splits.test
    for learner in wanted.learners:
        name, content = known_as(bench, learner), identity(bench.learner_folder(learner))
        for method, number, seed, rows in arms(dict(sets), wanted.seeds):
            schedule, size = trial_schedule(bench.recipe), bench.recipe.per_class
            yield Trial(method, name, size, number, seed, rows, test, schedule, wanted.batch, content)
        if FULL in wanted.baselines:
            schedule = full_schedule(bench.recipe)
            yield Trial(FULL, name, 0, 0, 0, bench.splits.train, test, schedule, wanted.batch, content)


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


def _full(trial: Trial, learner: Classifier) -> Score:
    """The score of full data, which other runs on the same data may have measured already."""
    file = cache_folder() / "full" / f"{trial.key}.jsonl"
    if file.exists():
        return Score(**jsonl.read(file)[0])
    with bar("train on full data", trial.schedule.steps) as advance:
        score = run_trial(trial, learner, advance)
    file.parent.mkdir(parents=True, exist_ok=True)
    jsonl.write(file, [asdict(score)])
    return score
