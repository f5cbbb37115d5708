"""Several runs: side by side, and as a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilm import runs
from dilm.api.begun import existing_run, recipe_for
from dilm.recipe import Recipe
from dilm.runs import Run
from dilm.runtime.processes import crew

if TYPE_CHECKING:
    from rich.table import Table

    from dilm.reports.comparison import Field


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
