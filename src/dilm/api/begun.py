"""From what was said to a recipe, from a recipe to its run, and what a run can be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilm import runs
from dilm.errors import DataError, RecipeError
from dilm.recipe import Recipe, book
from dilm.recipe.privacy import OFF
from dilm.runs import Run
from dilm.runtime.processes import crew

if TYPE_CHECKING:
    from rich.table import Table

    from dilm.build import Bench
    from dilm.distilled import Distilled
    from dilm.privacy.gate import Purpose

STAGES = ("load", "pretrain", "embed", "fit", "match", "generate", "select", "audit", "evaluate", "report")


def recipe_for(
    source: str | Path,
    *,
    text: str | Sequence[str] = (),
    label: str | None = None,
    target: str | None = None,
    test: str | Path | None = None,
    per_class: int | None = None,
    generator: str | None = None,
    learner: str | None = None,
    recipe: str | None = None,
    anonymize: bool | str | None = None,
    epsilon: float | None = None,
    delta: float | str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    device: str | None = None,
) -> Recipe:
    """A recipe (bundled name or YAML file; default `toy` for the toy task, `generation` where the target is text, else
    `default`) with what was said here.

    `anonymize` names an operator; True is that of the recipe, or `replace` where it has none. With `epsilon` above 0,
    or data holders, the default recipes touch real rows by mechanisms only; `delta` is a number or `auto`.
    """
    if not isinstance(source, (str, Path)):
        raise DataError(
            f"A source is a file, a folder, a task or a hub id, not a {type(source).__name__}.",
            "Write it to a file first, for example with `to_csv`, and name that.",
        )
    source = str(source)
    closed = bool(epsilon) or bool((settings or {}).get("federation.clients"))
    base = book.read(recipe or _base(source, closed, writes=_writes(source, target, label)))
    said = {
        "data.source": source,
        "data.text": (text,) if isinstance(text, str) else tuple(text),
        "data.label": label,
        "data.target": target,
        "data.test": test and str(test),
        "anonymize.operator": _operator(base, anonymize),
        "dp.epsilon": epsilon,
        "dp.delta": _delta(delta),
        "per_class": per_class,
        "models.generator": generator,
        "models.learner": learner,
        "seed": seed,
        "runtime.device": device,
    }
    spoken = {name: value for name, value in said.items() if value not in (None, ())}
    made = book.override(base, spoken | dict(settings or {}))
    book.check(made)
    return made


def _writes(source: str, target: str | None, label: str | None) -> bool:
    """Whether the target is text."""
    from dilm.data.tasks import read_task, task_names

    return bool(target) or (not label and source in task_names() and bool(read_task(source).target))


def _base(source: str, private: bool, writes: bool) -> str:
    if writes:
        return "private-generation" if private else "toy-generation" if source == "toy_generation" else "generation"
    if source in ("toy", "toy_pairs"):
        return "private-toy" if private else "toy"
    return "private" if private else "default"


def _delta(said: float | str | None) -> float | None:
    if said is None or said == "auto":
        return None if said is None else 0.0
    try:
        return float(said)
    except ValueError as fault:
        raise RecipeError(f"delta should be a number or `auto`, found {said!r}.", "Leave it out for `auto`.") from fault


def _operator(base: Recipe, asked: bool | str | None) -> str | None:
    if asked is not True:
        return asked or None
    return "replace" if base.anonymize.operator == OFF else base.anonymize.operator


def open_run(recipe: Recipe, out: str | Path | None = None, resume: bool = False) -> Run:
    """The run folder for a recipe: `out`, or one under `dilm-runs` named after source and size."""
    name = re.sub(r"[^\w.-]+", "-", Path(recipe.data.source).stem or "run")
    folder = Path(out) if out else Path("dilm-runs") / f"{name}-{recipe.per_class}-seed{recipe.seed}"
    return crew().told(lambda: runs.create(folder, recipe, resume))


def existing_run(folder: str | Path) -> Run:
    """The run in a folder."""
    return runs.existing(Path(folder))


def with_settings(run: Run, settings: Mapping[str, Any]) -> Run:
    """The run under changed settings, which are written down when a stage begins under them, and not before: what is
    refused until then changes nothing."""
    if not settings:
        return run
    changed = book.override(run.recipe, settings)
    book.check(changed)
    return Run(run.folder, changed, changed=True)


def change_settings(run: Run, settings: Mapping[str, Any]) -> Run:
    """The same, written down at once; the stages that they touch, and those after them, count as undone.

    Raises RunError where another process works in the folder.
    """
    changed = with_settings(run, settings)
    if changed is run:
        return run

    def written() -> Run:
        with run.locked():
            return run.with_recipe(changed.recipe)

    return crew().told(written)


def run_stage(run: Run, name: str, **options: Any) -> dict[str, Any]:
    """Run one stage of a run; returns its manifest. A stage that is complete is not run again."""
    from dilm import pipeline

    with pipeline.at_work(run) as bench:
        return pipeline.run_stage(bench, name, **options)


def distill_run(run: Run) -> Distilled:
    """Run whatever is missing of a run."""
    from dilm import journal, pipeline
    from dilm.stages.report import distilled

    with pipeline.at_work(run) as bench:
        pipeline.run_all(bench)
        with bench.gate.opened(journal.FINDINGS):
            return distilled(bench)


def results_table(run: Run, width: int) -> Table:
    """The scores of a run as a table for a terminal of so many characters."""
    from dilm.reports.table import results
    from dilm.stages.report import findings

    return results(findings(bench_of(run)), width)


def findings_json(run: Run) -> dict[str, Any]:
    """What a run found, as plain values."""
    from dilm.stages.report import findings, plain

    return plain(findings(bench_of(run)))


def plan(run: Run | Recipe, out: str | Path | None = None) -> list[dict[str, Any]]:
    """For every stage: what it would do, whether it is done, and a rough cost in seconds and megabytes here.

    Raises what `load` would raise.
    """
    from dilm.build import Bench
    from dilm.costs import estimate
    from dilm.journal import FORETELLING
    from dilm.pipeline import states
    from dilm.stages.fitting import require_all

    if isinstance(run, Recipe):
        folder = Path(out) if out else None
        run = runs.existing(folder) if folder and (folder / runs.RECIPE).exists() else Run(folder or Path("."), run)
    found = states(run)
    bench = Bench(run, FORETELLING)
    require_all(bench.recipe, bench.splits.all(), bench.clusters)
    costs = estimate(bench)
    return [{"stage": name, "state": found[name], **asdict(costs[name])} for name in STAGES]


def bench_of(run: Run, purpose: Purpose | None = None) -> Bench:
    """The workbench of a run, outside of any stage: for what the run found, or for another purpose."""
    from dilm import journal
    from dilm.build import Bench

    return Bench(run, purpose or journal.FINDINGS)
