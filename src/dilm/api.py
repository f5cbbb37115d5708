"""The verbs as Python functions: `distill` for the whole road, one function per stage on a run folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilm import recipe_book, runs
from dilm.recipe import Recipe
from dilm.recipe_privacy import OFF
from dilm.runs import Run
from dilm.runtime.processes import crew

if TYPE_CHECKING:
    from rich.table import Table

    from dilm.distilled import Distilled
    from dilm.reports.comparison import Field
    from dilm.types import Splits

STAGES = ("load", "pretrain", "embed", "fit", "match", "generate", "select", "evaluate", "report")


def distill(
    source: str | Path = "toy", *, out: str | Path | None = None, resume: bool = False, **options: Any
) -> Distilled:
    """Distil a labelled text dataset: load, fit, match, generate, select, evaluate, report.

    `options` are those of `recipe_for`: text, label, test, per_class, generator, learner, recipe, anonymize, settings,
    seed, device.
    """
    return distill_run(open_run(recipe_for(source, **options), out, resume))


def load(source: str | Path = "toy", *, out: str | Path | None = None, resume: bool = False, **options: Any) -> Splits:
    """Begin a run: read the data, carve dev (and test where the source has none), note what it is."""
    from dilm.build import Bench

    run = open_run(recipe_for(source, **options), out, resume)
    run_stage(run, "load")
    return Bench(run).splits


def anonymize(
    source: str | Path,
    out: str | Path,
    *,
    text: str | Sequence[str] = (),
    label: str | None = None,
    operator: str = "replace",
    patterns: str | Path | None = None,
    ner: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a file or folder anew with stand-ins for personal data; returns what was found where, never what it was.

    `text` names the columns to look at, all but the label where it is left out.
    """
    from dilm.anonymized import Columns, anonymize_files

    said = {"anonymize.patterns": patterns and str(patterns), "anonymize.ner": ner}
    given = {name: value for name, value in said.items() if value} | dict(settings or {})
    recipe = recipe_for("", anonymize=operator, settings=given, recipe="default")
    columns = Columns((text,) if isinstance(text, str) else tuple(text), label or "")
    written, survey = crew().told(lambda: anonymize_files(source, Path(out), columns, recipe))
    return {"written": [str(path) for path in written], **survey.plain()}


def embed(run: str | Path) -> dict[str, Any]:
    """Distil into embeddings (TDD), where a baseline asks for it; returns the stage's facts."""
    return _stage(run, "pretrain") and _stage(run, "embed")


def fit(run: str | Path) -> dict[str, Any]:
    """Train the generator to write examples of each class; returns the stage's facts."""
    return _stage(run, "pretrain") and _stage(run, "fit")


def match(run: str | Path) -> dict[str, Any]:
    """Fine-tune the generator by gradient matching; returns the stage's facts."""
    return _stage(run, "match")


def generate(run: str | Path) -> dict[str, Any]:
    """Write the pools; returns the stage's facts."""
    return _stage(run, "generate")


def select(run: str | Path) -> Distilled:
    """Choose the best few of every pool; returns the distilled set, not yet measured."""
    from dilm.stages.report import distilled

    _stage(run, "select")
    return distilled(_bench(existing_run(run)))


def evaluate(run: str | Path, also: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Train learners on every set; returns the rows of scores.jsonl. `also` adds your own: name to file or folder."""
    from dilm.stages.records import scores

    opened = existing_run(run)
    manifest = run_stage(opened, "evaluate", **({"also": also} if also else {}))
    return [asdict(score) for score in scores(_bench(opened), manifest["trials"])]


def report(run: str | Path) -> Path:
    """Write report.html, results.md and the dataset card; returns the page."""
    _stage(run, "report")
    return Path(run) / "report.html"


def compare(*folders: str | Path, html: str | Path | None = None) -> dict[str, Any]:
    """Several evaluated runs side by side, as plain values; with `html`, also written there as one page."""
    fields = comparison([existing_run(folder) for folder in folders])
    if html:
        write_comparison(fields, html)
    return comparison_json(fields)


def comparison(compared_runs: Sequence[Run]) -> tuple[Field, ...]:
    """What `compare` shows, before it is put into words."""
    from dilm.compared import compared

    return compared(compared_runs)


def comparison_json(fields: Sequence[Field]) -> dict[str, Any]:
    """A comparison as plain values."""
    from dilm.reports.comparison import plain

    return plain(fields)


def comparison_table(fields: Sequence[Field]) -> Table:
    """A comparison as a terminal table."""
    from dilm.reports.comparison_page import terminal

    return terminal(fields)


def write_comparison(fields: Sequence[Field], html: str | Path) -> None:
    """The page of a comparison."""
    from dilm.reports.comparison_page import render

    def write() -> None:
        Path(html).parent.mkdir(parents=True, exist_ok=True)
        runs.write_text(Path(html), render(fields))

    crew().told(write)


def benchmark(suite: str = "small", out: str | Path = "dilm-benchmark", **options: Any) -> Path:
    """Run a suite and write its leaderboard; returns the page. `options` are those of `recipe_for`.

    What was finished before is not run again.
    """
    from dilm import leaderboard

    wanted = leaderboard.read(suite)
    settings = {**wanted.settings, **options.pop("settings", {})}

    def recipe_of(task: str, size: int) -> Recipe:
        return recipe_for(task, per_class=size, settings=settings, **options)

    found = leaderboard.entries(wanted, Path(out), recipe_of)
    page, _ = leaderboard.write(list(leaderboard.run_all(found)), Path(out))
    return page


def rebuild_leaderboard(folder: str | Path) -> Path:
    """Write a benchmark's leaderboard anew from `recipe.yaml` and `scores.jsonl` of its runs; returns the page."""
    from dilm import leaderboard

    page, _ = leaderboard.rebuild(Path(folder))
    return page


def recipe_for(
    source: str | Path,
    *,
    text: str | Sequence[str] = (),
    label: str | None = None,
    test: str | Path | None = None,
    per_class: int | None = None,
    generator: str | None = None,
    learner: str | None = None,
    recipe: str | None = None,
    anonymize: bool | str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    device: str | None = None,
) -> Recipe:
    """A recipe (bundled name or YAML file; default `toy` for the toy task, else `default`) with what was said here.

    `anonymize` names an operator; True is that of the recipe, or `replace` where it has none.
    """
    source = str(source)
    base = recipe_book.read(recipe or ("toy" if source in ("toy", "toy_pairs") else "default"))
    said = {
        "data.source": source,
        "data.text": (text,) if isinstance(text, str) else tuple(text),
        "data.label": label,
        "data.test": test and str(test),
        "anonymize.operator": _operator(base, anonymize),
        "per_class": per_class,
        "models.generator": generator,
        "models.learner": learner,
        "seed": seed,
        "runtime.device": device,
    }
    spoken = {name: value for name, value in said.items() if value not in (None, ())}
    made = recipe_book.override(base, spoken | dict(settings or {}))
    recipe_book.check(made)
    return made


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


def change_settings(run: Run, settings: Mapping[str, Any]) -> Run:
    """The run under changed settings; the stages that they touch, and those after them, count as undone."""
    if not settings:
        return run
    changed = recipe_book.override(run.recipe, settings)
    recipe_book.check(changed)
    return crew().told(lambda: run.with_recipe(changed))


def run_stage(run: Run, name: str, **options: Any) -> dict[str, Any]:
    """Run one stage of a run; returns its manifest. A stage that is complete is not run again."""
    from dilm import pipeline

    with pipeline.at_work(run) as bench:
        return pipeline.run_stage(bench, name, **options)


def distill_run(run: Run) -> Distilled:
    """Run whatever is missing of a run."""
    from dilm import pipeline
    from dilm.stages.report import distilled

    with pipeline.at_work(run) as bench:
        pipeline.run_all(bench)
        return distilled(bench)


def results_table(run: Run, width: int) -> Table:
    """The scores of a run as a table for a terminal of so many characters."""
    from dilm.reports.table import results
    from dilm.stages.report import findings

    return results(findings(_bench(run)), width)


def findings_json(run: Run) -> dict[str, Any]:
    """What a run found, as plain values."""
    from dilm.stages.report import findings, plain

    return plain(findings(_bench(run)))


def plan(run: Run | Recipe, out: str | Path | None = None) -> list[dict[str, Any]]:
    """For every stage: what it would do, whether it is done, and a rough cost in seconds and megabytes here."""
    from dilm.costs import estimate
    from dilm.pipeline import states

    if isinstance(run, Recipe):
        folder = Path(out) if out else None
        run = runs.existing(folder) if folder and (folder / runs.RECIPE).exists() else Run(folder or Path("."), run)
    found = states(run)
    costs = estimate(run.recipe, run)
    return [{"stage": name, "state": found[name], **asdict(costs[name])} for name in STAGES]


def _stage(folder: str | Path, name: str) -> dict[str, Any]:
    return run_stage(existing_run(folder), name)


def _bench(run: Run) -> Any:
    from dilm.build import Bench

    return Bench(run)
