"""The whole road, from a CSV file to a report: what it leaves behind, and what it must not."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest
from tiny_runs import SETTINGS, products, scores_of

from dilm import api, pipeline
from dilm.distilled import Distilled
from dilm.errors import RunError
from dilm.journal import LOG

Again = Callable[..., Distilled]


def test_the_product_is_what_was_asked_for(finished: Distilled):
    assert finished.task.labels == ("thumbs down", "thumbs up") and finished.task.fields == ("review",)
    assert finished.data.counts == (3, 3) and finished.per_class == 3
    assert len(set(finished.data)) == 6 and all(example.texts[0].strip() for example in finished)


def test_every_row_on_disk_is_a_row_of_the_product(finished: Distilled):
    lines = (finished.run / "distilled" / "distilled.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == finished.rows()
    loaded = Distilled.load(finished.run / "distilled")
    assert loaded.data.fingerprint == finished.data.fingerprint and loaded.task == finished.task
    assert loaded.card == finished.card and loaded.provenance == finished.provenance


def test_every_stage_is_complete_and_says_so(finished: Distilled):
    run = api.existing_run(finished.run)
    assert set(pipeline.states(run).values()) == {"done"}
    for name in pipeline.NAMES:
        manifest = run.stage(name).manifest
        assert manifest["stage"] == name and manifest["seconds"] >= 0 and manifest["resumed"] is False
    assert finished.provenance.parents == {name: run.stage(name).manifest["key"] for name in pipeline.NAMES[:-1]}


def test_tokens_are_counted_where_models_work(finished: Distilled):
    """Also those that trials read in processes of their own: they come with the scores."""
    manifests = {name: api.existing_run(finished.run).stage(name).manifest for name in pipeline.NAMES}
    idle = {name for name, manifest in manifests.items() if not manifest["tokens"]}
    assert idle >= {"load", "embed"} and idle.isdisjoint({"pretrain", "fit", "match", "generate", "select", "evaluate"})
    rows = [json.loads(line) for line in (finished.run / "scores.jsonl").read_text("utf-8").splitlines()]
    assert all(row["tokens"] > 0 for row in rows)
    assert manifests["evaluate"]["tokens"] == sum({row["trial"]: row["tokens"] for row in rows}.values())


def test_the_texts_are_measured_beside_real_rows(finished: Distilled):
    measures = {row["name"]: row for row in json.loads((finished.run / "report" / "text.json").read_text("utf-8"))}
    words = [len(row.texts[0].split()) for row in finished.data]
    assert measures["words per text"]["value"] == f"{fmean(words):.1f}"
    single, triple = (share(measures[f"distinct {name}"]["value"]) for name in ("words", "triples of words"))
    assert 0 < single <= triple <= 100
    for split in ("train", "test"):
        mean, most = map(share, measures[f"word overlap with {split} rows"]["value"].split(", at most "))
        assert 0 <= mean <= most <= 100 and (most > 40) == (
            share(measures[f"high word overlap with {split}"]["value"]) > 0
        )


def share(told: str) -> float:
    return float(told.removesuffix(" %"))


def test_nothing_unfinished_is_left(finished: Distilled):
    names = {file.name for file in finished.run.rglob("*")}
    assert not {name for name in names if name.endswith((".part", ".pt"))}
    assert {"report.html", "results.md", "scores.jsonl", "recipe.yaml"} <= names


def test_there_is_one_score_for_each_trial(finished: Distilled):
    trials = api.existing_run(finished.run).stage("evaluate").manifest["trials"]
    rows = [json.loads(line) for line in (finished.run / "scores.jsonl").read_text("utf-8").splitlines()]
    assert Counter(trial["method"] for trial in trials) == {
        **dict.fromkeys(("dilm", "untuned", "random", "kmeans_nearest", "herding", "typical"), 4),
        "full": 1,
    }
    assert set(scores_of(finished.run)) == {trial["key"] for trial in trials}
    for row in rows:
        assert 0 <= row["value"] <= 1 and row["split"] == "test"
        assert row["rows"] == (6 if row["method"] != "full" else sum(splits(finished)["train_counts"].values()))


def splits(finished: Distilled) -> dict:
    return api.existing_run(finished.run).stage("load").manifest


def test_rows_are_carved_without_loss(finished: Distilled):
    assert sum(splits(finished)["rows"].values()) == 240


def test_no_file_of_the_run_holds_a_real_row(finished: Distilled, reviews: list[dict[str, str]]):
    critics = [row["review"].split()[-1] for row in reviews]
    for file in finished.run.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [critic for critic in critics if f" {critic}".encode() in content], file


def test_no_file_that_is_shared_names_a_folder_of_this_machine(finished: Distilled, source: Path):
    for file in [*(finished.run / "distilled").iterdir(), finished.run / "report.html", finished.run / "results.md"]:
        assert str(source.parent) not in file.read_text("utf-8")
        assert str(finished.run) not in file.read_text("utf-8")


def state(run: Path) -> dict[str, int]:
    """But for locks, and the journal: it tells that the source was read, to see that it is still the same."""
    kept = [file for file in run.rglob("*") if file.is_file() and not file.name.endswith(".lock") and file.name != LOG]
    return {str(file): file.stat().st_mtime_ns for file in kept}


def test_resuming_what_is_complete_does_nothing(finished: Distilled, again: Again):
    before = state(finished.run)
    assert again(finished.run, resume=True).data.fingerprint == finished.data.fingerprint
    assert state(finished.run) == before


def test_a_folder_is_not_overwritten(finished: Distilled, again: Again, tmp_path: Path):
    before = state(finished.run)
    with pytest.raises(RunError, match="--resume"):
        again(finished.run)
    with pytest.raises(RunError, match=r"another recipe.*match\.steps"):
        again(finished.run, {"match.steps": 6}, resume=True)
    with pytest.raises(RunError, match="per_class"):
        again(finished.run, per_class=4, resume=True)
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(RunError, match="not a run folder"):
        again(tmp_path)
    assert state(finished.run) == before


@pytest.mark.parametrize("change", ["drop a row", "swap a label"])
def test_changed_data_is_noticed(copied: Path, again: Again, source: Path, change: str):
    before = source.read_bytes()
    lines = before.decode().splitlines(keepends=True)
    lines = lines[:-1] if change == "drop a row" else [*lines[:-1], lines[-1].replace("thumbs up", "thumbs down")]
    try:
        source.write_text("".join(lines), encoding="utf-8")
        with pytest.raises(RunError, match="not those that this run was begun with"):
            again(copied, resume=True)
    finally:
        source.write_bytes(before)


def test_the_same_seed_makes_the_same_run(finished: Distilled, again: Again, tmp_path: Path, monkeypatch):
    """In the same process, after other draws, in another folder and without remembered scores."""
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "cache"))
    other = again(tmp_path / "again")
    assert products(other.run) == products(finished.run)
    assert scores_of(other.run) == scores_of(finished.run)
    assert other.provenance.recipe_key == finished.provenance.recipe_key


def test_a_stage_waits_for_those_before_it(source: Path, tmp_path: Path):
    api.load(source, out=tmp_path / "run", text="review", label="stars", settings=SETTINGS)
    for verb in (api.match, api.generate, api.select, api.evaluate, api.report):
        with pytest.raises(RunError, match="which is not complete"):
            verb(tmp_path / "run")


def test_two_processes_do_not_share_a_folder(copied: Path, again: Again):
    with api.existing_run(copied).locked(), pytest.raises(RunError, match="Another process"):
        again(copied, resume=True)


def test_a_run_in_the_working_folder_is_named_after_its_source(source: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    api.load(source, text="review", label="stars", per_class=7, seed=2)
    assert os.listdir("dilm-runs") == ["reviews-7-seed2"]
