"""Known tasks: their pages, where their rows are looked for, and what is said when they are nowhere."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pandas as pd
import pytest

from dilm.data import hub, sources
from dilm.data.load import load
from dilm.data.tables import Table
from dilm.data.tasks import read_task, task_names
from dilm.errors import DataError, ResourceError

NOWHERE = "http://127.0.0.1:9"
"""An address where nothing answers."""


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DILM_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NOWHERE)


@pytest.mark.parametrize("name", task_names())
def test_a_page_is_complete_and_its_prompt_shows_each_field_once(name: str) -> None:
    page = read_task(name)
    holes = [hole for _, hole, _, _ in string.Formatter().parse(page.prompt) if hole]
    assert page.name == name
    if page.target:
        assert holes == list(page.fields) and page.fields[-1] == page.target and page.metric == "perplexity"
        assert page.kind == "generation" and page.answer in {"", "number", "slots"} and "train" in page.splits
    else:
        assert holes == [*page.fields, "label"]
        assert len(set(page.labels)) == len(page.labels) >= 2
        assert set(page.splits) == {"train", "test"} and page.kind == "classification"
        assert page.metric in {"accuracy", "macro_f1", "accuracy_f1"}
    assert 16 <= page.max_tokens <= 512 and page.cite
    assert bool(hub.ID.fullmatch(page.hub.id)) != (name in sources.WRITERS)


def test_an_unknown_task_is_told_its_nearest() -> None:
    with pytest.raises(DataError, match="Did you mean `ag_news`"):
        read_task("agnews")


def test_a_task_is_read_from_the_folder_that_dilm_data_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.DataFrame({"title": None, "text": [f"t{n}" for n in range(80)], "label": [n % 4 for n in range(80)]})
    (tmp_path / "ag_news").mkdir()
    for split in ("train", "test"):
        rows.to_parquet(tmp_path / "ag_news" / f"{split}.parquet")
    monkeypatch.setenv("DILM_DATA", str(tmp_path))
    found = load("ag_news")
    assert found.task.fields == ("text",) and found.task.labels == read_task("ag_news").labels
    assert found.task.prompt and found.task.max_tokens == 128
    assert found.test.labels == rows.label.tolist()
    other = load("ag_news", text="text", label="label", seed=1)
    assert other.test.fingerprint == found.test.fingerprint != other.dev.fingerprint


def test_a_task_without_its_scored_split_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sst2").mkdir()
    pd.DataFrame({"sentence": ["a", "b"] * 9, "label": [0, 1] * 9}).to_parquet(tmp_path / "sst2" / "train.parquet")
    monkeypatch.setenv("DILM_DATA", str(tmp_path))
    with pytest.raises(DataError, match="Task sst2 has no split validation here"):
        load("sst2")


def test_a_task_name_wins_over_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load("toy").train) == 5400
    with pytest.raises(DataError, match="Folder toy has no train split"):
        load("./toy")


def test_hub_columns_and_splits_are_called_as_on_the_page(no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = list(range(6)) * 5
    columns = {"text": [f"t{n}" for n in range(30)], "coarse_label": labels, "fine_label": labels}
    monkeypatch.setattr(
        hub, "fetch", lambda name, remedy: {"train": Table(name, columns), "test": Table(name, columns)}
    )
    found = load("trec6")
    assert found.task.fields == ("sentence",) and found.test.labels == labels
    pairs = {"premise": ["p"] * 30, "hypothesis": columns["text"], "label": [0, 1, 2] * 10}
    monkeypatch.setattr(
        hub, "fetch", lambda name, remedy: {"train": Table(name, pairs), "validation_matched": Table(name, pairs)}
    )
    assert load("mnli").test.counts == (10, 10, 10)


def test_a_hub_id_gives_its_splits_and_class_names(no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"label": ("neg", "pos")}
    table = Table("t", {"text": [f"t{n}" for n in range(40)], "label": [0, 1] * 20}, names)
    unlabelled = Table("t", {"text": ["a", "b"], "label": [-1, -1]}, names)
    monkeypatch.setattr(hub, "fetch", lambda name, remedy: {"train": table, "validation": table, "test": unlabelled})
    found = load("org/Some_data:plain")
    assert (found.task.name, found.task.labels, len(found.test)) == ("org-some-data-plain", ("neg", "pos"), 40)
    monkeypatch.setattr(hub, "fetch", lambda name, remedy: {"test": table})
    with pytest.raises(DataError, match="no train split, only test"):
        load("org/name")


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("sst2", "put train.parquet and validation.parquet into a folder sst2 below one named by DILM_DATA"),
        ("nyu-mll/glue:sst2", r"pass that folder\. Did you mean the task sst2\?"),
        ("someone/something", "HF_HUB_OFFLINE=1 reads it from the cache"),
    ],
)
def test_without_a_network_the_remedy_comes_at_once(no_network: None, source: str, remedy: str) -> None:
    with pytest.raises(ResourceError, match=f"(?s)hub cannot be reached.*{remedy}"):
        load(source)


def test_offline_by_choice_asks_only_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for switch in ("huggingface_hub.constants.HF_HUB_OFFLINE", "datasets.config.HF_HUB_OFFLINE"):
        monkeypatch.setattr(switch, True)
    with pytest.raises(ResourceError, match=r"(?s)someone/something cannot be fetched.*Fetch it"):
        load("someone/something")


@pytest.mark.realdata
@pytest.mark.skipif("DILM_DATA" not in os.environ, reason="DILM_DATA names no folder")
@pytest.mark.parametrize(
    ("name", "classes", "test_rows"),
    [("sst2", 2, 872), ("qqp", 2, 7600), ("mnli", 3, 7469), ("trec6", 6, 500), ("ag_news", 4, 7600), ("imdb", 2, 4000)],
)
def test_real_tasks_load_with_every_class(name: str, classes: int, test_rows: int) -> None:
    found = load(name)
    assert len(found.task.labels) == classes and len(found.test) == test_rows
    assert all(count > 0 for part in (found.train, found.dev, found.test) for count in part.counts)
    assert not {row.texts for row in found.train} & {row.texts for row in found.dev}
