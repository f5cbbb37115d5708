"""From run folders to one comparison: what each run found, and whether runs are about the same data.

Of a run whose folder was thrown away `recipe.yaml` and `scores.jsonl` are enough: the tables come out the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dilm import journal
from dilm.build import Bench
from dilm.data import jsonl
from dilm.errors import RunError
from dilm.reports.comparison import Entrant, Field, fields
from dilm.runs import RECIPE, Run
from dilm.stages.records import SCORES, data_key, score_of
from dilm.stages.report import bars, findings


def compared(runs: Sequence[Run]) -> tuple[Field, ...]:
    """Runs grouped by their data. Raises RunError where one was not evaluated."""
    names = _names([run.folder for run in runs])
    return fields(_entrant(name, run) for name, run in zip(names, runs, strict=True))


def _entrant(name: str, run: Run) -> Entrant:
    manifests = {name: run.stage(name).manifest or {} for name in ("select", "evaluate")}
    sizes = {trial["per_class"] for trial in manifests["evaluate"].get("trials", ())} - {0}
    if not manifests["evaluate"] or not manifests["select"] or sizes - {run.recipe.per_class}:
        raise RunError(
            f"The run in {run.folder} was not evaluated, or changed since, so there is nothing to compare.",
            f"Run `dilm select {run.folder}` and `dilm evaluate {run.folder}` first.",
        )
    return Entrant.of(name, findings(Bench(run, journal.FINDINGS)), data_key(run))


def from_scores(runs: Sequence[Run]) -> tuple[Field, ...]:
    """The same from `recipe.yaml` and `scores.jsonl` alone: no texts, no costs. Raises RunError as `compared` does."""
    names = _names([run.folder for run in runs])
    return fields(_recorded(name, run) for name, run in zip(names, runs, strict=True))


def _recorded(name: str, run: Run) -> Entrant:
    rows = jsonl.read(run.folder / SCORES)
    _require_whole(run, rows)
    found = bars([score_of(row) for row in rows], run.recipe.seed, rows[0]["metric"])
    return Entrant(name, rows[0]["task"], rows[0]["metric"], run.recipe.per_class, found, rows[0]["data"])


def _require_whole(run: Run, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise RunError unless the rows are one finished evaluation of this very recipe."""
    evaluate = run.stage("evaluate")
    stopped = evaluate.path.exists() and evaluate.manifest is None
    sizes = {row.get("per_class") for row in rows} - {0}
    if stopped or not rows or len({row.get("data") for row in rows}) > 1 or sizes - {run.recipe.per_class}:
        raise RunError(
            f"{run.folder / SCORES} holds no finished evaluation under the settings of {RECIPE}.",
            f"Run `dilm evaluate {run.folder}` to its end where the run was made, and copy both files.",
        )
    if "data" not in rows[0]:
        raise RunError(
            f"{run.folder / SCORES} does not say what was measured: an earlier dilm wrote it.",
            "Remove the folder `evaluate` of that run and evaluate it again: what was measured is known.",
        )


def _names(folders: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell them apart."""
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise RunError("A run folder is named twice.", "Name each run once.")
    parts = [path.parts for path in paths]
    depth = 1
    while len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]
