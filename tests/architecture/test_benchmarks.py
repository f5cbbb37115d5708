"""Benchmarks that nobody runs rot: each is run small, and its JSON read."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
A_SHORT_RUN = [
    "data.dev_rows=20",
    "data.test_rows=20",
    "models.max_tokens=32",
    "pretrain.vocabulary=300",
    "pretrain.steps=2",
    "fit.steps=60",
    "fit.batch=16",
    "fit.lr=1e-2",
    "match.steps=2",
    "match.refresh_every=2",
    "match.synthetic=8",
    "match.real=8",
    "match.teacher_sets=1",
    "match.clusters=2",
    "match.ages=2",
    "match.age_steps=1",
    "match.trajectories=1",
    "match.check_every=0",
    "generate.oversample=2",
    "generate.attempts=20",
    "select.sets=1",
    "evaluate.seeds=1",
    "evaluate.steps=2",
    "evaluate.full_steps=2",
    "evaluate.baselines=random,full",
    "runtime.threads=1",
]
SMALL = {
    "matching": ["--size", "least", "--threads", "1"],
    "trials": ["--trials", "2", "--rounds", "1", "--steps", "3"],
    "versions": ["--before", "HEAD", "--rounds", "1", "--set", *A_SHORT_RUN],
    "selection": ["--rows", "2000", "--dimensions", "16"],
    "growth": ["--most", "1000", "--longest", "64"],
    "sampling": ["--size", "tiny", "--batches", "8", "--texts", "1", "--rounds", "1"],
    "limit": ["--size", "tiny"],
    "tables": ["--size", "least"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_prints_one_line_of_figures(name: str):
    if name == "versions" and not (shutil.which("git") and (SCRIPTS.parent / ".git").exists()):
        pytest.skip("not a git checkout")
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), "--json", *SMALL[name]]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["machine"]["cores"] and len(found) > 2


def test_every_benchmark_is_listed_with_its_records():
    readme = (SCRIPTS / "README.md").read_text(encoding="utf-8")
    helpers = {"gauges.py", "output.py"}
    for script in SCRIPTS.glob("*.py"):
        assert script.name in helpers or f"({script.name})" in readme, script.name
    for record in (SCRIPTS / "records").glob("*.md"):
        assert f"(records/{record.name})" in readme, record.name


def test_what_scripts_import_of_dilm_is_there():
    """Known long before anybody runs them: a rename leaves some behind."""
    missing = []
    for folder in ("benchmarks", "experiments", "examples", "docs"):
        for script in (SCRIPTS.parent / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "dilm":
                    missing += [(script.name, node.module, each.name) for each in node.names if not there(node, each)]
    assert missing == []


def there(node: ast.ImportFrom, name: ast.alias) -> bool:
    """Whether a module binds a name, hands it out later, or has a module of this name below it."""
    home = SCRIPTS.parent / "src" / str(node.module).replace(".", "/")
    file = home / "__init__.py" if home.is_dir() else home.with_suffix(".py")
    text = file.read_text(encoding="utf-8")
    bound = {found for part in ast.parse(text).body for found in names(part)}
    later = "__getattr__" in bound and f'"{name.name}"' in text
    return name.name in bound or later or (home / f"{name.name}.py").exists() or (home / name.name).is_dir()


def names(part: ast.stmt) -> Iterator[str]:
    """What a statement of a module binds."""
    if isinstance(part, ast.Import | ast.ImportFrom):
        yield from (each.asname or each.name for each in part.names)
    elif isinstance(part, ast.FunctionDef | ast.ClassDef):
        yield part.name
    else:
        yield from (each.id for each in ast.walk(part) if isinstance(each, ast.Name))
