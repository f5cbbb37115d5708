"""The road: `distill` for the whole of it, and one function per stage on a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilm.api.begun import bench_of, distill_run, existing_run, open_run, recipe_for, run_stage, with_settings

if TYPE_CHECKING:
    from dilm.distilled import Distilled
    from dilm.types import Splits


def distill(
    source: str | Path = "toy", *, out: str | Path | None = None, resume: bool = False, **options: Any
) -> Distilled:
    """Distil a labelled text dataset: load, fit, match, generate, select, audit, evaluate, report.

    `options` are those of `recipe_for`: text, label, target, test, per_class, generator, learner, recipe, anonymize,
    epsilon, delta, settings, seed, device.
    """
    return distill_run(open_run(recipe_for(source, **options), out, resume))


def load(source: str | Path = "toy", *, out: str | Path | None = None, resume: bool = False, **options: Any) -> Splits:
    """Begin a run: read the data, carve dev (and test where the source has none), note what it is."""
    from dilm import journal

    run = open_run(recipe_for(source, **options), out, resume)
    run_stage(run, "load")
    return bench_of(run, journal.OWN_CODE).splits.all()


def embed(run: str | Path) -> dict[str, Any]:
    """Distil into embeddings (TDD), where a baseline asks for it; returns the stage's facts."""
    return _stage(run, "pretrain") and _stage(run, "embed")


def fit(run: str | Path, corpus: str | Path | None = None) -> dict[str, Any]:
    """Train the generator to write examples of each class, after unlabelled text where a corpus is named; returns the
    stage's facts."""
    wanted = with_settings(existing_run(run), {"corpus.source": str(corpus)} if corpus else {})
    return run_stage(wanted, "pretrain") and run_stage(wanted, "fit")


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
    return distilled(bench_of(existing_run(run)))


def evaluate(run: str | Path, also: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Train learners on every set; returns the rows of scores.jsonl. `also` adds your own: name to file or folder."""
    from dilm.stages.records import scores

    opened = existing_run(run)
    manifest = run_stage(opened, "evaluate", **({"also": also} if also else {}))
    return [asdict(score) for score in scores(bench_of(opened), manifest["trials"])]


def report(run: str | Path) -> Path:
    """Write report.html, results.md and the dataset card; returns the page."""
    _stage(run, "report")
    return Path(run) / "report.html"


def _stage(folder: str | Path, name: str) -> dict[str, Any]:
    return run_stage(existing_run(folder), name)
