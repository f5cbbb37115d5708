"""Every statement on privacy names the test that holds it, and that test exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "privacy.md").read_text("utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_tests_that_are_named_exist():
    named = NAMED.findall(PAGE)
    assert len(named) >= 20
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_every_point_of_a_list_names_a_test():
    points = re.split(r"\n(?=- )|\n\n", PAGE)
    assert not [point for point in points if point.startswith("- ") and not NAMED.search(point)]
