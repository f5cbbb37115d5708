"""`dilm verify`, `export`, `open` and `quota` as a person or a pipeline uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pyrage
import pytest
from typer.testing import CliRunner

from dilm import api
from dilm.cli import app
from dilm.distilled import Distilled
from dilm.types import Dataset, Example, Provenance, Task


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DILM_PROGRESS", "none")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path) -> Path:
    """One that was begun: its rows are read."""
    (here / "reviews.csv").write_text("text,label\n" + "".join(f"text {n},{n % 2}\n" for n in range(40)), "utf-8")
    api.load(here / "reviews.csv", out=here / "run")
    return here / "run"


@pytest.fixture
def product(here: Path) -> Path:
    data = Dataset(Task("films", ("text",), ("bad", "good")), [Example(("dull",), 0), Example(("fine",), 1)])
    return Distilled(data, 1, Provenance("key", 0, "0"), "# Card").save(here / "set")


def ask(*words: str):
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def test_a_whole_run_is_exit_0_and_a_changed_one_exit_3(run: Path):
    answer = ask("verify", "run")
    assert answer.exit_code == 0
    told = dict(line.split(maxsplit=1) for line in answer.stdout.splitlines())
    assert told["faults"] == "0" and told["head"] == api.verify(run)["head"]
    assert ask("verify", "run", "--head", told["head"]).exit_code == 0
    (run / "load" / "manifest.json").write_text("{}", "utf-8")
    (run / "planted.txt").write_text("", "utf-8")
    answer = ask("verify", "run")
    assert answer.exit_code == 3 and "Traceback" not in answer.stderr
    assert answer.stdout.splitlines()[:2] == ["load/manifest.json: changed", "planted.txt: additional"]


def test_a_pipeline_reads_one_json_object(run: Path):
    assert json.loads(ask("verify", "run", "--json").stdout)["faults"] == []
    (run / "load" / "manifest.json").unlink()
    answer = ask("verify", "run", "--json", "--head", "f" * 64)
    assert answer.exit_code == 3
    found = json.loads(answer.stdout)["faults"]
    assert {"path": "load/manifest.json", "what": "missing"} in found and len(found) == 2


def test_half_a_line_is_a_note_and_no_fault(run: Path):
    with (run / "access.jsonl").open("ab") as handle:
        handle.write(b'{"time"')
    answer = ask("verify", "run")
    assert answer.exit_code == 0 and "Note: access.jsonl ends in half a line" in answer.stderr


def test_a_set_goes_to_who_it_is_meant_for(product: Path):
    anna = pyrage.x25519.Identity.generate()
    Path("anna.txt").write_text(f"{anna}\n", "utf-8")
    sent = json.loads(ask("export", "set", "--to", "set.age", "--encrypt-to", str(anna.to_public()), "--json").stdout)
    assert sent["recipients"] == 1 and sent["file"] == "set.age"
    assert b"dull" not in Path("set.age").read_bytes()
    answer = ask("open", "set.age", "--identity", "anna.txt", "--to", "arrived")
    assert answer.exit_code == 0 and "arrived" in answer.stdout
    assert list(Distilled.load("arrived")) == list(Distilled.load(product))
    refused = ask("open", "set.age", "--to", "again")
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1 and "--identity" in refused.stderr


def test_an_export_that_anybody_can_read_is_said_to_be_one(product: Path):
    answer = ask("export", "set", "--to", "set.tar")
    assert answer.exit_code == 0 and "Not encrypted" in answer.stderr
    assert b"dull" in Path("set.tar").read_bytes()


def test_a_quota_is_told_set_and_kept_in_numbers(run: Path):
    assert json.loads(ask("quota", "run", "--json").stdout) == {"limit": None, "written": 0, "left": None}
    assert json.loads(ask("quota", "run", "--texts", "300", "--json").stdout)["left"] == 300
    answer = ask("quota", "run", "--texts", "-1")
    assert answer.exit_code == 2 and "0 or more" in answer.stderr
