"""The documentation says what the code does: reference pages are fresh, links lead somewhere, settings exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from dilm.recipe import Recipe
from dilm.recipe.fields import fields_of, leaves

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES = [page for page in PAGES if "_build" not in page.parts]
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
SETTING = re.compile(rf"\b(?:{'|'.join(name for name in fields_of(Recipe))})\.[a-z_]+\b")
FILES = {".py", ".yaml", ".jsonl", ".md", ".html", ".json", ".pt"}


@pytest.mark.parametrize("file", ["recipe.md", "cli.md"])
def test_reference_is_what_the_code_says(file: str):
    made = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["PAGES"][file]()
    assert (ROOT / "docs" / "reference" / file).read_text("utf-8") == made, "run python docs/make_reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    links = [link for link in LINK.findall(page.read_text("utf-8")) if not (page.parent / link).exists()]
    left_out = () if (ROOT / "experiments").exists() else "experiments/"  # a source release goes without them
    broken = [link for link in links if not link.startswith(left_out)]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_are_named_exist(page: Path):
    named = set(re.findall(r"`(?:--set )?([a-z_]+\.[a-z_]+)(?:=[^`]*|: [^`]*)?`", page.read_text("utf-8")))
    settings = {name for name in named if SETTING.fullmatch(name) and f".{name.split('.')[1]}" not in FILES}
    assert settings <= set(leaves())


def test_every_page_is_in_the_table_of_contents():
    listed = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in PAGES if (ROOT / "docs") in page.parents}
    assert {page for page in pages - {"index"} if f"\n{page}\n" not in listed} == set()


def test_every_argument_and_option_says_what_it_means():
    """A new release of what the command line is made with may lose them."""
    page = (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8")
    assert re.findall(r"^\| `[^|]*` \|\s*\|$", page, flags=re.M) == []
