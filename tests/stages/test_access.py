"""Who read which rows what for: every stage of the road within its declaration, all of it in the run's journal."""

from __future__ import annotations

import ast
import json
import os
import shutil
from pathlib import Path

import pytest
from tiny_runs import SETTINGS, START, rows_of

import dilm
from dilm import api, journal, pipeline
from dilm.build import Bench
from dilm.distilled import Distilled
from dilm.errors import AccessError
from dilm.privacy import chain
from dilm.runs import RECIPE

SOURCES = Path(dilm.__file__).parent
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")


def told(run: Path) -> dict[str, set[str]]:
    """Stage to the splits that it read, as the journal tells."""
    found: dict[str, set[str]] = {}
    for row in rows_of(run, journal.LOG):
        if row["act"] == journal.READ:
            found.setdefault(row["who"], set()).update(row["splits"])
    return found


def test_every_stage_says_what_it_reads():
    assert set(journal.TOUCHES) == set(pipeline.NAMES)


def test_the_whole_road_reads_within_its_declarations_and_all_that_is_declared(finished: Distilled):
    """But where nothing asks for it: no embeddings, no dev rows for `typical`, no test rows for the audit."""
    declared = {name: set(splits) for name, splits in journal.TOUCHES.items() if splits}
    found = told(finished.run)
    assert found.pop("select") == {"train"} and found.pop("audit") == {"train", "dev"}
    assert "embed" not in found and "generate" not in found
    assert found == {name: splits for name, splits in declared.items() if name not in ("select", "audit", "embed")}


def test_the_journal_says_who_read_how_many_rows_of_which_data(finished: Distilled):
    load = api.existing_run(finished.run).stage("load").manifest or {}
    rows = [row for row in rows_of(finished.run, journal.LOG) if row["act"] in (journal.READ, journal.OPENED)]
    assert len(rows) >= 11 and rows[0]["act"] == journal.OPENED
    for row in rows:
        assert row["user"] == journal.user() and row["time"].endswith("+00:00")
        for split, said in row["splits"].items():
            assert said == {"rows": load["rows"][split], "fingerprint": load["fingerprints"][split]}
        if row["act"] == journal.READ:
            assert row["why"] == journal.TOUCHES[row["who"]][next(iter(row["splits"]))]
    assert not chain.read(finished.run / journal.LOG).faults


def test_the_journal_names_no_folder_of_this_machine_and_no_row(finished: Distilled, source: Path, reviews):
    content = (finished.run / journal.LOG).read_text("utf-8")
    assert str(source.parent) not in content and str(finished.run) not in content
    assert not [row for row in reviews if row["review"].split()[-1] in content]


@pytest.mark.parametrize(("stage", "split"), [("generate", "train"), ("fit", "test"), ("match", "test")])
def test_a_stage_that_reads_outside_its_declaration_is_stopped(
    copied: Path, stage: str, split: str, monkeypatch: pytest.MonkeyPatch
):
    """Before it has a row, and with nothing of it in the journal."""
    got = []

    def prying(bench: Bench) -> dict:
        got.append(getattr(bench.splits, split)[0])
        return {}

    place = pipeline.NAMES.index(stage)
    stages = list(pipeline.STAGES)
    stages[place] = pipeline.Stage(stage, prying, stages[place].reads, stages[place].after)
    monkeypatch.setattr(pipeline, "STAGES", tuple(stages))
    (copied / stage / "manifest.json").unlink()
    before = told(copied).get(stage, set())
    with pytest.raises(AccessError, match=rf"'{stage}' asks for {split} rows"):
        api.run_stage(api.existing_run(copied), stage)
    assert not got and told(copied).get(stage, set()) == before
    assert not (copied / stage / "manifest.json").exists()


def test_a_stage_that_declares_nothing_cannot_be_run(copied: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal, "TOUCHES", {name: {} for name in pipeline.NAMES if name != "select"})
    (copied / "select" / "manifest.json").unlink()
    with pytest.raises(AccessError, match="'select' does not say what it reads"):
        api.run_stage(api.existing_run(copied), "select")


def test_a_bench_without_a_purpose_reads_nothing(copied: Path):
    before = (copied / journal.LOG).read_bytes()
    for what in (lambda bench: bench.splits.train, lambda bench: bench.task, lambda bench: bench.survey):
        with pytest.raises(AccessError, match="nobody said what for"):
            what(Bench(api.existing_run(copied)))
    assert (copied / journal.LOG).read_bytes() == before


def test_rows_are_opened_in_one_place():
    """Whoever imports what reads a source, or asks for rows without the gate, is a way around it."""
    readers = {
        "read": "dilm.data.load",
        "read_rows": "dilm.data.load",
        "read_splits": "dilm.reading",
        "read_sheets": "dilm.data.sheets",
    }
    found = {
        (path.relative_to(SOURCES).as_posix(), name.name)
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if readers.get(name.name) == node.module
    }
    elsewhere = {("anonymized.py", "read_sheets"), ("holding.py", "read_rows")}  # a holder's rows, in its own process
    assert found == {("reading.py", "read"), ("build.py", "read_splits"), *elsewhere}
    used = [line for line in (SOURCES / "build.py").read_text("utf-8").splitlines() if "read_splits(" in line]
    assert len(used) == 1  # behind the gate


def test_what_own_code_reads_is_noted_too(copied: Path):
    rows = Bench(api.existing_run(copied), journal.OWN_CODE).splits.test
    assert len(rows) and told(copied)["own code"] == {"test"}


def test_what_cannot_be_noted_is_not_read(copied: Path):
    """A journal whose end is damaged: nobody can add to it."""
    with (copied / journal.LOG).open("ab") as handle:
        handle.write(b"nonsense\n")
    with pytest.raises(dilm.errors.DilmError, match="damaged"):
        _ = Bench(api.existing_run(copied), journal.OWN_CODE).splits.test


def test_a_plan_leaves_no_trace_where_there_is_no_run(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    api.plan(api.recipe_for(source, settings=SETTINGS, **START))
    assert list(tmp_path.iterdir()) == []


def test_times_and_users_change_no_result(finished: Distilled, copied: Path, monkeypatch: pytest.MonkeyPatch):
    """The same stage on another day by somebody else: the same key and the same texts."""
    monkeypatch.setattr(journal, "user", lambda: "somebody else")
    before = (finished.run / "select" / "manifest.json").read_text("utf-8")
    shutil.rmtree(copied / "select")
    after = api.run_stage(api.existing_run(copied), "select")
    assert after["key"] == json.loads(before)["key"] and after["files"] == json.loads(before)["files"]
    assert rows_of(copied, journal.LOG)[-1]["user"] == "somebody else"


def test_where_the_journal_cannot_be_written_nothing_is_read(copied: Path):
    (copied / journal.LOG).unlink()
    (copied / journal.LOG).mkdir()
    with pytest.raises(AccessError, match="nothing is done that is not noted"):
        _ = Bench(api.existing_run(copied), journal.OWN_CODE).splits.test


@POSIX
def test_a_run_is_its_owners_alone(finished: Distilled):
    for path in (finished.run, *finished.run.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


@POSIX
def test_a_cache_that_a_run_makes_is_its_owners_alone(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "deep" / "cache"))
    api.load(source, out=tmp_path / "run", settings=SETTINGS, **START)
    assert (tmp_path / "deep" / "cache").stat().st_mode & 0o777 == 0o700


@POSIX
def test_a_run_may_be_the_groups_where_the_recipe_says_so(source: Path, tmp_path: Path):
    settings = SETTINGS | {"runtime.readers": "group"}
    recipe = api.recipe_for(source, settings=settings, **START)
    old = os.umask(0o077)  # which would keep the group out
    try:
        run = api.open_run(recipe, tmp_path / "new" / "run")
        api.run_stage(run, "load")
    finally:
        os.umask(old)
    for path in (run.folder, *run.folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o770 if path.is_dir() else 0o660), path
    owners = pipeline.keys(api.recipe_for(source, settings=SETTINGS, **START))
    assert pipeline.keys(recipe) == owners  # it changes no result


@POSIX
def test_a_folder_that_others_may_enter_is_told_and_left(source: Path, tmp_path: Path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o755)
    run = api.open_run(api.recipe_for(source, settings=SETTINGS, **START), tmp_path / "run")
    api.run_stage(run, "load")
    said = capsys.readouterr().err
    assert "Others than its owner may enter" in said and "755" in said and "chmod" in said
    assert run.folder.stat().st_mode & 0o777 == 0o755
    assert (run.folder / "load" / "manifest.json").stat().st_mode & 0o777 == 0o600
    run.folder.chmod(0o700)
    api.run_stage(run, "load")
    assert "may enter" not in capsys.readouterr().err
    assert (run.folder / RECIPE).stat().st_mode & 0o777 == 0o600
