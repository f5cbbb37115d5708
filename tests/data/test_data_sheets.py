"""Files written again: changed cells are new, everything else is what it was, in the same format."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.data.sheets import read_sheets
from dilm.errors import DataError

CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.just("01"), CELLS, CELLS), min_size=1, max_size=5),
    comma=st.sampled_from(",;"),
    mark=st.sampled_from(("", "\ufeff")),
    ends=st.sampled_from(("\n", "\r\n")),
)
def test_cells_of_a_csv_stay_as_they_are_written(tmp_path_factory, rows, comma: str, mark: str, ends: str):
    file = tmp_path_factory.mktemp("data") / "a.csv"
    with file.open("w", encoding="utf-8", newline="") as handle:
        handle.write(mark)
        csv.writer(handle, delimiter=comma, lineterminator=ends).writerows([("id", "text", "more"), *rows])
    before = file.read_bytes()
    (sheet,) = read_sheets(file)
    sheet.write(file, {})
    assert file.read_bytes() == before
    sheet.write(file, {(0, "text"): "new"})
    assert read_sheets(file)[0].table.columns == {
        "id": [row[0] for row in rows],
        "text": ["new", *(row[1] for row in rows[1:])],
        "more": [row[2] for row in rows],
    }


def test_a_lone_carriage_return_stays_in_its_cell(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b'text,n\n"a\rb",1\n')
    read_sheets(tmp_path / "a.csv")[0].write(tmp_path / "b.csv", {(0, "n"): "2"})
    assert (tmp_path / "b.csv").read_bytes() == b'text,n\n"a\rb",2\n'


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_objects_keep_their_keys(tmp_path: Path, name: str):
    rows = [{"text": "a\nb", "n": 1, "x": None}, {"text": "é", "more": [1.5]}]
    whole = json.dumps(rows) if name == "a.json" else "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / name).write_text(whole, encoding="utf-8")
    (sheet,) = read_sheets(tmp_path / name)
    sheet.write(tmp_path / "out" / name, {(1, "text"): "new", (0, "n"): "<N>"})
    written = (tmp_path / "out" / name).read_text("utf-8")
    found = json.loads(written) if name == "a.json" else [json.loads(line) for line in written.splitlines()]
    assert found == [{"text": "a\nb", "n": "<N>", "x": None}, {"text": "new", "more": [1.5]}]


def test_columns_of_a_parquet_file_keep_their_types_unless_changed(tmp_path: Path):
    frame = pandas.DataFrame({"n": [1, 2], "text": ["a", None], "id": [5, 6]})
    frame.to_parquet(tmp_path / "a.parquet")
    (sheet,) = read_sheets(tmp_path / "a.parquet")
    sheet.write(tmp_path / "b.parquet", {(0, "id"): "<ID>", (0, "text"): "new"})
    found = pandas.read_parquet(tmp_path / "b.parquet")
    assert found["n"].tolist() == [1, 2] and found["n"].dtype == frame["n"].dtype
    assert found["id"].tolist() == ["<ID>", "6"] and found["text"].iloc[0] == "new" and found["text"].isna().iloc[1]


def test_a_folder_is_read_file_by_file_and_a_task_split_by_split(tmp_path: Path):
    (tmp_path / "data").mkdir()
    for name in ("train.csv", "data/more.csv"):
        (tmp_path / name).write_text("text\na\n", encoding="utf-8")
    assert [sheet.name for sheet in read_sheets(tmp_path)] == ["data/more.csv", "train.csv"]
    assert [sheet.name for sheet in read_sheets("toy")] == ["train.jsonl", "test.jsonl"]
    with pytest.raises(DataError, match="holds no data files"):
        (tmp_path / "empty").mkdir()
        read_sheets(tmp_path / "empty")
