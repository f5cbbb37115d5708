"""The report in a real browser: it fits every width, and nothing that data says is run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dilm.reports import page
from dilm.reports.findings import Bar, Cost, Findings
from dilm.types import Dataset, Example, Provenance, Score, Task

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (320, 400, 768, 1280)
HOSTILE = "<script>document.title = 'hijacked'</script><img src=x onerror=\"document.title='hijacked'\">"

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on PATH")]

MEASURE = """
<!doctype html><title>measure</title><body>
<script>
const found = [], frames = [...document.querySelectorAll("iframe")];
onload = () => {
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument;
    found.push({width: frame.clientWidth, needed: page.documentElement.scrollWidth, title: page.title,
      dots: page.querySelectorAll('[id^="accuracy-bar-"]').length});
  }
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
};
</script>
"""


def hostile_findings() -> Findings:
    """A run whose every text is too long for a phone or tries to be a script."""
    task = Task("films", ("first_sentence", "second_sentence"), (HOSTILE, "positive" * 12))
    endless = "unbroken" * 60
    rows = [Example((HOSTILE if row % 2 else endless, "a plain sentence"), row // 4) for row in range(8)]
    methods = {"dilm": "ours", "random": "baseline", f"{HOSTILE}{endless}": "rival", "full": "ceiling"}
    bars = tuple(
        Bar(name, "learner-" + "x" * 80, 0 if name == "full" else 4, 0.7, 0.65, 0.75, 3, 3, kind)
        for name, kind in methods.items()
    )
    scores = tuple(Score(bar.method, bar.learner, bar.per_class, 0, 0, 0.7, 0.7, 0.7, 8, 1.0) for bar in bars)
    return Findings(
        task=task,
        distilled=Dataset(task, rows),
        per_class=4,
        provenance=Provenance("a" * 64, 0, "0.1.0", {"fit": "b" * 64}, {endless: endless}, HOSTILE),
        scores=scores,
        bars=bars,
        curves={"fit": ({"step": 0, "train_nll": 3.0}, {"step": 1, "train_nll": 2.0})},
        rejected={"dilm": {"kept": 5, endless: 1}, "untuned": {"kept": 5}},
        recipe={"fit": {endless: endless, "deeper": {"steps": 1, "deepest": {endless: [endless]}}}, "seed": 0},
        costs=(Cost("fit", 3.0, 100.0),),
        splits={"train": 100, "dev": 10, "test": 20},
        notes=(endless,),
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What Chromium says of the page at each width: frames of one document, so that it starts once."""
    folder = tmp_path_factory.mktemp("browser")
    # Everything that is folded is opened: that is where long settings lie.
    report = page.render(hostile_findings()).replace("<details>", "<details open>")
    quoted = report.replace("&", "&amp;").replace('"', "&quot;")
    frames = "".join(
        f'<iframe srcdoc="{quoted}" style="width:{width}px;height:900px;border:0"></iframe>' for width in WIDTHS
    )
    file = folder / "frames.html"
    file.write_text(MEASURE + frames, encoding="utf-8")
    found = re.search(r'<pre id="result">(.*?)</pre>', browse(file, folder), re.DOTALL)
    assert found, "the measuring script did not finish"
    return json.loads(found[1])


def browse(file: Path, folder: Path) -> str:
    """The document's HTML after loading."""
    command = [
        str(CHROMIUM),
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder / 'profile'}"),
        *("--window-size=1400,1000", "--virtual-time-budget=5000", "--dump-dom", file.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_page_fits_every_width(measured):
    assert [row["width"] for row in measured] == list(WIDTHS)
    assert [row for row in measured if row["needed"] > row["width"]] == []


def test_no_script_from_data_ran(measured):
    assert {row["title"] for row in measured} == {"films: 8 examples | dilm"}


def test_the_figure_is_there(measured):
    assert {row["dots"] for row in measured} == {3}
