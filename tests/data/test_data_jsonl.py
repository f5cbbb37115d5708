"""JSON lines come back as they were written, also after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.data import jsonl
from dilm.errors import DataError
from dilm.types import Dataset, Example, Task

PAIR = Task("pair", ("first", "second"), ("no", "yes"))
ANY_TEXT = st.text(st.characters(codec=None, categories=None))
"""Line separators, control characters and halves of surrogate pairs included."""


@given(rows=st.lists(st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.none(), max_size=3), max_size=4))
@settings(max_examples=50, deadline=None)
def test_read_returns_what_was_written_or_appended(rows: list[dict], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("jsonl")
    jsonl.write(folder / "written.jsonl", rows)
    for row in rows:
        jsonl.append(folder / "appended.jsonl", row)
    assert jsonl.read(folder / "written.jsonl") == rows
    assert not rows or (folder / "appended.jsonl").read_bytes() == (folder / "written.jsonl").read_bytes()


@given(cut=st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_a_line_cut_by_a_kill_is_ignored_and_then_replaced(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "scores.jsonl"
    rows = [{"trial": "first", "value": 0.5}, {"trial": "second ✓", "value": 0.25}]
    jsonl.write(path, rows)
    path.write_bytes(path.read_bytes()[:-cut])
    survived = jsonl.read(path)
    assert survived == (rows if cut == 1 else rows[:1])
    jsonl.append(path, {"trial": "third"})
    assert jsonl.read(path) == [*survived, {"trial": "third"}]


def test_only_the_last_line_may_be_unfinished(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(DataError, match=r"Line 2 of rows\.jsonl is not JSON"):
        jsonl.read(path)
    path.write_text('{"a": 1}\n[2]\n')
    with pytest.raises(DataError, match=r"Line 2 of rows\.jsonl is not a JSON object"):
        jsonl.read(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    jsonl.write(path, [{"a": 1}])
    with pytest.raises(TypeError):
        jsonl.write(path, [{"a": 2}, {"a": object()}])
    assert jsonl.read(path) == [{"a": 1}]


@given(rows=st.lists(st.tuples(ANY_TEXT, ANY_TEXT, st.integers(0, 1)), max_size=5))
@settings(max_examples=50, deadline=None)
def test_a_dataset_keeps_its_fingerprint(rows: list[tuple], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "data.jsonl"
    dataset = Dataset(PAIR, [Example((first, second), label) for first, second, label in rows])
    jsonl.write_dataset(path, dataset)
    assert jsonl.read_dataset(path, PAIR).fingerprint == dataset.fingerprint


def test_a_dataset_row_is_readable_by_people(tmp_path: Path) -> None:
    jsonl.write_dataset(tmp_path / "data.jsonl", Dataset(PAIR, [Example(("é", "b"), 1)]))
    assert (tmp_path / "data.jsonl").read_text(encoding="utf-8") == '{"first": "é", "second": "b", "label": "yes"}\n'


@pytest.mark.parametrize("row", [{"first": "a", "label": "yes"}, {"first": "a", "second": "b", "label": "maybe"}])
def test_a_row_of_another_task_is_refused(tmp_path: Path, row: dict) -> None:
    jsonl.write(tmp_path / "data.jsonl", [row])
    with pytest.raises(DataError, match=r"Row 1 of data\.jsonl does not fit task pair"):
        jsonl.read_dataset(tmp_path / "data.jsonl", PAIR)
