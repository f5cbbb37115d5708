"""The page of a search in a real browser: it fits every width, and nothing that settings or errors say is run."""

from __future__ import annotations

from pathlib import Path

from browsing import HOSTILE, assert_fits_every_width, at_every_width, needs_browser

from dilm.reports import search_page
from dilm.reports.searched import Searched, Tried

pytestmark = needs_browser


def test_the_page_fits_every_width_and_runs_nothing(tmp_path: Path):
    """Eight settings, long values, an error that is a script."""
    space = {f"section.setting_{at}": {"low": 0.1, "high": 9.0, "log": at % 2 == 0} for at in range(7)}
    space["select.method"] = {"choices": ["typical", HOSTILE]}
    trials = [
        Tried(
            number,
            "fail" if number == 3 else "complete",
            {**dict.fromkeys(list(space)[:-1], 0.1 + number), "select.method": HOSTILE},
            None if number == 3 else 0.1 * number,
            0.02,
            70.0,
            {HOSTILE: 0.5},
            HOSTILE if number == 3 else "",
        )
        for number in range(6)
    ]
    found = Searched(HOSTILE, "accuracy", 6, space, trials, dict.fromkeys(space, 0.125))
    measured = at_every_width(search_page.render(found, HOSTILE * 5), "figure svg, table", tmp_path)
    assert_fits_every_width(measured)
    assert {row["counted"] for row in measured} == {3 + 1}
    assert not any(row["title"] == "hijacked" for row in measured)
