"""Tasks whose target is text: their columns, their clusters, and the embedded one."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm import reading
from dilm.data import toy_slots
from dilm.data.conditions import Clusters, by_clusters, word_points
from dilm.data.load import Limits, divide, load, read
from dilm.errors import DataError
from dilm.numerics.answers import realised
from dilm.recipe import Recipe, book
from dilm.types import Dataset, Example, Splits

TOPICS = {"rivers": "water flows north past old bridges", "bread": "dough rises slowly in warm ovens"}


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    file = tmp_path / "answers.csv"
    with file.open("w", newline="", encoding="utf-8") as handle:
        table = csv.DictWriter(handle, ["topic", "question", "answer", "id"])
        table.writeheader()
        for at in range(60):
            topic = list(TOPICS)[at % 2]
            told = f"{TOPICS[topic]}\n  number {at}"
            table.writerow({"topic": topic, "question": f"{topic} {at}?", "answer": told, "id": at})
    return file


def written(file: Path, **said: str) -> Splits:
    return divide(*read(file, **said), Limits(), seed=0)


def clusters_of(found: Splits, count: int = 2, seed: int = 0) -> Clusters:
    return by_clusters(found, word_points(found.train, seed), count, seed)


def clustered(file: Path, count: int = 2, seed: int = 0) -> Splits:
    found = written(file, text="question", target="answer")
    return clusters_of(found, count, seed).under(found)


def test_a_named_target_makes_a_task_that_writes(answers: Path):
    task = written(answers, text="question", target="answer").task
    assert task.writes and task.fields == ("question", "answer") and task.target == "answer"
    assert task.labels == ("all",) and task.metric == "perplexity"
    row = written(answers, text="question", target="answer").train[0]
    assert "\n" not in row.texts[1] and "  " not in row.texts[1]
    assert task.question(row.texts) == f"question: {row.texts[0]}\nanswer:"


def test_clusters_are_the_topics_and_the_same_for_one_seed(answers: Path):
    found = clustered(answers)
    for part in (found.train, found.dev, found.test):
        of = {row.label: {other.texts[0].split()[0] for other in part if other.label == row.label} for row in part}
        assert all(len(topics) == 1 for topics in of.values())
    assert len(set(found.task.labels)) == 2
    assert found.train.fingerprint == clustered(answers).train.fingerprint


def test_clusters_that_would_be_too_small_are_given_away(answers: Path):
    found = clustered(answers, count=30)
    assert 2 <= len(found.task.labels) <= 30 and min(found.train.counts) >= 2
    assert sum(found.train.counts) == len(found.train)


@pytest.mark.parametrize("count", [2, 5])
def test_every_row_is_nearest_to_the_centre_of_its_condition_and_so_is_what_is_read_back(
    answers: Path, tmp_path: Path, count: int
):
    found = written(answers, text="question", target="answer")
    made = clusters_of(found, count)
    made.write(tmp_path / "kept.npz")
    kept = Clusters.read(tmp_path / "kept.npz", None)
    new = Dataset(found.task, [Example(("who bakes bread?", "water flows past ovens, zyx"), 0)])
    assert (kept.distances(new) == made.distances(new)).all() and kept.names == made.names
    for part, again in zip(vars(made.under(found)).values(), vars(kept.under(found)).values(), strict=True):
        assert part.fingerprint == again.fingerprint
        assert (made.distances(part).argmin(1) == part.labels).all()


def test_clusters_are_found_once_for_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second time nobody clusters; other rows, another count and another seed are clusters of their own."""
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "cache"))
    asked: list[int] = []
    monkeypatch.setattr(reading, "by_clusters", lambda *said: asked.append(said[2]) or by_clusters(*said))

    def read(**changes: object) -> reading.Found:
        said = {"data.source": "toy_generation", "data.train_rows": 60, "data.test_rows": 10, "data.dev_rows": 10}
        return reading.read_splits(book.override(Recipe(), said | changes))

    first, again = read(), read()
    assert asked == [8] and first.splits.train.fingerprint == again.splits.train.fingerprint
    assert (first.clusters.distances(first.splits.test) == again.clusters.distances(first.splits.test)).all()
    for changes in ({"generation.conditions": 3}, {"data.seed": 5}, {"data.train_rows": 61}):
        read(**changes)
    assert len(asked) == 4 and len(list((tmp_path / "cache" / "conditions").glob("*/*"))) == 4


def test_a_column_may_be_the_condition(answers: Path):
    found = written(answers, text="question", target="answer", label="topic")
    assert found.task.labels == ("bread", "rivers") and found.task.writes


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"text": "question", "target": "reply"}, "no column 'reply'"),
        ({"text": "answer", "target": "answer"}, "both input and target"),
        ({"target": "answer"}, "Several columns"),
        ({"text": "question", "target": "id"}, "holds numbers"),
        ({"text": "question", "target": "answer", "label": "theme"}, "no column 'theme'"),
    ],
)
def test_mistakes_are_told(answers: Path, said: dict[str, str], problem: str):
    with pytest.raises(DataError, match=problem):
        written(answers, **said)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_the_embedded_sentences_say_all_of_their_slots(seed: int):
    rows = toy_slots.places(10, seed)
    assert len({row.texts for row in rows}) == 10
    assert all(realised(*row.texts) == 1 for row in rows)


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "rows"), [("e2e_nlg", 40_000), ("gsm8k", 6_000), ("alpaca_5000", 3_000)])
def test_real_tasks_are_read(name: str, rows: int):
    found = load(name)
    assert len(found.train) > rows and found.task.writes and len(found.test) > 500
    assert all(all(texts) for texts in (row.texts for row in found.train))
    assert found.task.question(found.train[0].texts).startswith(found.task.prompt.split("{")[0].strip())
