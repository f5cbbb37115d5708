"""Every statement on privacy names the test that holds it, and that test exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "privacy.md").read_text("utf-8")
NAMED = re.compile(r"`(?:([\w/.]+\.py)::)?(test_\w+)`")


def test_tests_that_are_named_exist():
    written = {str(file.relative_to(ROOT)): file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py")}
    named = NAMED.findall(PAGE)
    assert len(named) >= 40
    for file, name in named:
        homes = [text for path, text in written.items() if f"/{path}".endswith(f"/{file}" if file else "")]
        assert any(f"def {name}(" in text for text in homes), f"{file}::{name}"


def test_every_point_of_a_list_names_a_test():
    """But for what is assumed, and what is said not to be done."""
    parts = [
        part for part in re.split(r"\n#+ ", PAGE) if not part.startswith(("What it does not do", "What is assumed"))
    ]
    points = [point for part in parts for point in re.split(r"\n(?=- )|\n\n", part)]
    assert not [point for point in points if point.startswith("- ") and not NAMED.search(point)]
