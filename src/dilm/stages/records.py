"""scores.jsonl: a row for each trial while trials run, a row for each name of the evaluation when it is finished.

While trials run the file only grows, so that a killed evaluation loses nothing. Then it is written anew: every named
(method, learner, size, set, seed) has its one row, also where two methods gave the very same rows and share a training,
and trials of earlier settings move to a file beside it, where they are still known. A row says what it was measured on,
so that tables can be made from these rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from dilm.build import Bench
from dilm.data import jsonl
from dilm.generators import is_scratch
from dilm.recipe.fields import counted
from dilm.runs import Run
from dilm.runtime.hashing import key
from dilm.types import Score

SCORES = "scores.jsonl"
EARLIER = "earlier-scores.jsonl"
"""Trials that this run measured under other settings, kept so that they need not be measured again."""

SIDES = ("learners", "baselines", "seeds", "robust")
"""Settings of `evaluate` that say who is compared and how often, not how one trial is run."""


def scores_file(bench: Bench) -> Path:
    """Where every measurement of the run is written."""
    return bench.run.folder / SCORES


def measured(bench: Bench) -> dict[str, Score]:
    """Trial key to score, of every trial that the run ever measured."""
    return {trial: score_of(row) for trial, row in _remembered(bench).items()}


def scores(bench: Bench, trials: Sequence[Mapping[str, Any]]) -> list[Score]:
    """The scores of the trials that a finished evaluation named, each under its own method."""
    return _under_their_names(_remembered(bench), trials)


def measured_on(bench: Bench) -> dict[str, str]:
    """What every row of this evaluation says of its data: task, metric, and the key of all that must be equal."""
    return {"task": bench.task.name, "metric": bench.task.metric, "data": data_key(bench.run)}


def row_of(trial: str, score: Score, on: Mapping[str, str]) -> dict[str, Any]:
    """One row: the trial's key, its score, and what it was measured on."""
    told = asdict(score)
    if not score.measures:
        del told["measures"]  # classes are chosen, not written
    return {"trial": trial, **told, **on}


def settle(bench: Bench, trials: Sequence[Mapping[str, Any]]) -> None:
    """Write scores.jsonl whole: one row for each named trial, in their order; what else is known moves aside first."""
    known, keys = _remembered(bench), {trial["key"] for trial in trials}
    aside = [row for trial, row in known.items() if trial not in keys]
    file = bench.run.folder / EARLIER
    if aside or file.exists():
        jsonl.write(file, aside)
    on, named = measured_on(bench), _under_their_names(known, trials)
    rows = (row_of(trial["key"], score, on) for trial, score in zip(trials, named, strict=True))
    jsonl.write(scores_file(bench), rows)


def score_of(row: Mapping[str, Any]) -> Score:
    """The score in a row."""
    return Score(**{field.name: row[field.name] for field in fields(Score) if field.name in row})


def data_key(run: Run) -> str:
    """What must be equal for scores to stand in one table: rows, metric, length, way of training, a scratch learner."""
    load, trained = run.stage("load").manifest or {}, counted(run.recipe)["evaluate"]
    for name in SIDES:
        del trained[name]
    if trained.get("rows", 0) >= load["rows"]["test"]:
        del trained["rows"]  # all that there are
    trained["served"] = (run.recipe.prompt.context, run.recipe.prompt.top_logprobs)
    scratch = (run.stage("pretrain").manifest or {}).get("key") if is_scratch(run.recipe.models.learner) else ""
    length = load["max_tokens"] * (run.stage("select").manifest or {}).get("packed", 1)
    return key([load["fingerprints"]["train"], load["fingerprints"]["test"], length, trained, scratch])


def _remembered(bench: Bench) -> dict[str, dict[str, Any]]:
    """Trial key to row, of both files; scores.jsonl has the last word."""
    files = (bench.run.folder / EARLIER, scores_file(bench))
    return {row["trial"]: row for file in files if file.exists() for row in jsonl.read(file)}


def _under_their_names(known: Mapping[str, Mapping[str, Any]], trials: Sequence[Mapping[str, Any]]) -> list[Score]:
    """The score of each named trial, under that trial's method, learner, size, set and seed."""
    return [
        replace(score_of(known[trial["key"]]), **{name: value for name, value in trial.items() if name != "key"})
        for trial in trials
    ]
