"""The report in a real browser: it fits every width, and nothing that data says is run."""

from __future__ import annotations

import pytest
from browsing import assert_fits_every_width, at_every_width, needs_browser
from hostile import hostile_findings

from dilm.reports import page

pytestmark = needs_browser


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    report = page.render(hostile_findings())
    return at_every_width(report, '[id^="accuracy-bar-"]', tmp_path_factory.mktemp("browser"))


def test_the_page_fits_every_width(measured):
    assert_fits_every_width(measured)


def test_no_script_from_data_ran(measured):
    assert {row["title"] for row in measured} == {"films: 8 examples | dilm"}


def test_the_figure_is_there(measured):
    assert {row["counted"] for row in measured} == {3}
