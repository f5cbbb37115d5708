"""The comparison, and the leaderboard, in a real browser: they fit every width, and nothing that data says is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from browsing import HOSTILE, assert_fits_every_width, at_every_width, needs_browser
from hostile import hostile_findings

from dilm.reports import comparison_page
from dilm.reports.comparison import Entrant, fields
from dilm.reports.findings import Gap

pytestmark = needs_browser


def runs() -> list[Entrant]:
    """Three sizes and two learners, every difference known: all figures and both tables are drawn."""
    found = hostile_findings()
    bars = tuple(replace(bar, gap=Gap(0.1, -0.1, 0.3, 0.21) if bar.kind != "ours" else None) for bar in found.bars)
    bars += tuple(replace(bar, learner="another") for bar in bars)
    return [
        Entrant.of(
            f"{HOSTILE}-{size}-{'run' * 40}",
            replace(
                found,
                per_class=size,
                bars=tuple(replace(bar, per_class=size if bar.per_class else 0) for bar in bars),
            ),
            "same",
        )
        for size in (4, 8, 16)
    ]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Of a comparison with everything in it."""
    page = comparison_page.render(fields(runs()))
    return at_every_width(page, "figure svg, table", tmp_path_factory.mktemp("browser"))


def test_the_page_fits_every_width(measured):
    assert_fits_every_width(measured)


def test_no_script_from_data_ran(measured):
    assert {row["title"] for row in measured} == {"3 runs compared | dilm"}


def test_figures_and_tables_are_there(measured):
    """By size, by cost, from learner to learner; of each learner the means and the differences."""
    assert {row["counted"] for row in measured} == {3 + 2 * 2}


def test_runs_that_must_be_told_apart_and_scores_alone_fit_too(tmp_path: Path):
    """Names of runs stand in every row; a leaderboard made from scores has no texts."""
    bare = [replace(run, per_class=4, name=f"{run.name}{at}", texts=(), seconds=None) for at, run in enumerate(runs())]
    found = at_every_width(comparison_page.render(fields(bare)), "p.absent", tmp_path)
    assert_fits_every_width(found)
    assert {(row["title"], row["counted"]) for row in found} == {("3 runs compared | dilm", 1)}
