"""The law of the floors, and what can be read off the files: lengths, docstrings, no trace of any one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "dilm").rglob("*.py"))
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|tmp|home|root|Users|opt)/[\w.-]+")


def committed() -> list[Path]:
    """Every text file that git knows of, or would."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    wanted = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".j2", ".jsonl", ".json", ""}
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).suffix in wanted and path.is_file()]


def test_layers_contract_holds():
    ran = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_file_is_short_and_says_what_it_is(path: Path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text)), "a file begins with its promise"


def test_every_package_folder_has_a_docstring():
    packages = {path.parent for path in SOURCES}
    for folder in packages:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))), folder.name


def test_functions_are_short():
    """Nine in ten under 25 lines, at most six parameters; the doors, with an argument per option, are excepted."""
    lengths, crowded = [], []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths.append((node.end_lineno or 0) - node.lineno + 1)
                named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = len([argument for argument in named if argument.arg not in ("self", "cls")])
                if count > 6 and path.parent.name not in ("cli", "api"):
                    crowded.append(f"{path.name}:{node.lineno} {node.name} has {count}")
    assert sum(length < 25 for length in lengths) >= 0.9 * len(lengths)
    assert not crowded


def test_no_file_names_a_folder_of_one_machine():
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in committed()
        if path.stat().st_size < 1 << 20
        for match in MACHINE_PATH.finditer(path.read_text("utf-8", errors="replace"))
        if path.name != "constraints.txt"
    ]
    assert not found


def test_constraints_hold_no_addresses():
    assert "://" not in (ROOT / "constraints.txt").read_text("utf-8")
