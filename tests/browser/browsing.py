"""A real browser that tells of a page at several widths: how wide it had to be, and whether it was hijacked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (320, 400, 768, 1280)
HOSTILE = "<script>document.title = 'hijacked'</script><img src=x onerror=\"document.title='hijacked'\">"

needs_browser = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on PATH")]

MEASURE = """
<!doctype html><title>measure</title><body data-counted="COUNTED">
<script>
const found = [], frames = [...document.querySelectorAll("iframe")];
onload = () => {
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument;
    found.push({width: frame.clientWidth, needed: page.documentElement.scrollWidth, title: page.title,
      counted: page.querySelectorAll(document.body.dataset.counted).length});
  }
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
};
</script>
"""


def at_every_width(page: str, counted: str, folder: Path) -> list[dict]:
    """What Chromium says of a page at each width: frames of one document, so that it starts once.

    `counted` is a CSS selector of what must be there. Everything that is folded is opened: there lie long words.
    """
    quoted = page.replace("<details", "<details open").replace("&", "&amp;").replace('"', "&quot;")
    frames = "".join(
        f'<iframe srcdoc="{quoted}" style="width:{width}px;height:900px;border:0"></iframe>' for width in WIDTHS
    )
    file = folder / "frames.html"
    file.write_text(MEASURE.replace("COUNTED", counted.replace('"', "&quot;")) + frames, encoding="utf-8")
    found = re.search(r'<pre id="result">(.*?)</pre>', browse(file, folder), re.DOTALL)
    assert found, "the measuring script did not finish"
    return json.loads(found[1])


def assert_fits_every_width(measured: list[dict]) -> None:
    """What `at_every_width` told of a page."""
    assert [row["width"] for row in measured] == list(WIDTHS)
    assert [row for row in measured if row["needed"] > row["width"]] == []


def browse(file: Path, folder: Path) -> str:
    """The document's HTML after loading."""
    command = [
        str(CHROMIUM),
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder / 'profile'}"),
        *("--window-size=1400,1000", "--virtual-time-budget=5000", "--dump-dom", file.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
