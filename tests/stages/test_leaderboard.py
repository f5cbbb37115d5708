"""A suite: sizes share what does not depend on them, a stopped suite goes on, the leaderboard holds every run."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from tiny_runs import rows_of

from dilm import api, leaderboard, pipeline
from dilm.data import jsonl
from dilm.distilled import Distilled
from dilm.errors import RecipeError, RunError
from dilm.runs import Run


def test_bundled_suites_are_valid_and_known_to_the_recipe(tmp_path: Path):
    assert leaderboard.names() == ["small", "toy"]
    for name in leaderboard.names():
        suite = leaderboard.read(name)
        made = partial(api.recipe_for, settings=suite.settings)
        found = leaderboard.entries(suite, tmp_path, lambda task, size, made=made: made(task, per_class=size))
        assert len({entry.folder for entry in found}) == len(suite.tasks) * len(suite.sizes)


def test_a_suite_that_is_not_there_or_not_a_suite_is_told(tmp_path: Path):
    with pytest.raises(RecipeError, match="Did you mean `small`"):
        leaderboard.read("smal")
    file = tmp_path / "odd.yaml"
    file.write_text("tasks: [toy]\nsize: [1]\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="is not a suite"):
        leaderboard.read(str(file))


def test_another_size_shares_the_generator(finished: Distilled, tmp_path: Path):
    run = api.existing_run(finished.run)
    other = api.open_run(api.change_settings(copy_of(run, tmp_path), {"per_class": 2}).recipe, tmp_path / "other")
    assert leaderboard.share(run, other) == ["load", "pretrain", "embed", "fit", "match"]
    states = pipeline.states(other)
    assert states["match"] == "done" and states["generate"] == "to do"
    assert leaderboard.share(run, other) == []
    found = api.verify(other.folder)
    assert found["faults"] == [] and found["files"] > 20
    (other.folder / "match" / "model" / "config.json").unlink()
    assert api.verify(other.folder)["faults"] == [{"path": "match/model/config.json", "what": "missing"}]


def copy_of(run: Run, tmp_path: Path) -> Run:
    return api.existing_run(shutil.copytree(run.folder, tmp_path / "copy"))


def test_scores_of_an_evaluation_that_was_stopped_are_no_leaderboard(finished: Distilled, tmp_path: Path):
    run = copy_of(api.existing_run(finished.run), tmp_path)
    api.rebuild_leaderboard(tmp_path)
    (run.folder / "evaluate" / "manifest.json").unlink()
    with pytest.raises(RunError, match="no finished evaluation"):
        api.rebuild_leaderboard(tmp_path)
    shutil.rmtree(run.folder / "evaluate")
    rows = rows_of(run.folder)
    jsonl.write(run.folder / "scores.jsonl", [*rows, rows[0] | {"data": "other"}])
    with pytest.raises(RunError, match="no finished evaluation"):
        api.rebuild_leaderboard(tmp_path)
    jsonl.write(run.folder / "scores.jsonl", [{name: row[name] for name in row if name != "data"} for row in rows])
    with pytest.raises(RunError, match="an earlier dilm wrote it"):
        api.rebuild_leaderboard(tmp_path)
    (run.folder / "scores.jsonl").unlink()
    with pytest.raises(RunError, match="holds no run"):
        api.rebuild_leaderboard(tmp_path)


@pytest.mark.slow
def test_the_recorded_leaderboard_is_what_the_recorded_scores_say(tmp_path: Path):
    """Of experiments/002-baselines, whose folders hold recipes and scores, but no rows of data."""
    recorded = Path(__file__).parents[2] / "experiments" / "002-baselines"
    shutil.copytree(recorded, tmp_path / "runs")
    _, table = leaderboard.rebuild(tmp_path / "runs")
    assert table.read_text("utf-8") == (recorded / "leaderboard.md").read_text("utf-8")
