"""Every mistake that a user can make with data says what was found and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dilm.data.load import Limits, load
from dilm.errors import DataError

GOOD = "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(40))


def says(*phrases: str) -> str:
    """A pattern for an error that says all of these, in this order."""
    return "(?s)" + ".*".join(map(re.escape, phrases))


def file(folder: Path, content: str | bytes, name: str = "reviews.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


MISTAKES = {
    "empty file": ("", {}, ["reviews.csv has no rows", "Check that it was written completely"]),
    "only a header": ("text,label\n", {}, ["reviews.csv has no rows"]),
    "misspelt text": (GOOD, {"text": "txt"}, ["no column 'txt'", "Did you mean `text`?", "Columns: text, label"]),
    "misspelt label": (GOOD, {"label": "Lable"}, ["no column 'Lable'", "Did you mean `label`?"]),
    "no label name": (GOOD.replace("label", "verdict"), {}, ["No column", "--label", "text (text), verdict (text)"]),
    "two label names": (GOOD.replace("text,", "class,"), {}, ["Several columns", "could be the label", "--label"]),
    "two texts": ("a,b,label\n" + "x,y,1\n" * 9, {}, ["Several columns", "hold text", "--text", "a (text), b (text)"]),
    "no text": ("n,label\n" + "1,a\n2,b\n" * 9, {}, ["No column", "holds text", "n (numbers)"]),
    "numbers as text": ("n,label\n" + "1,a\n2,b\n" * 9, {"text": "n"}, ["Column 'n'", "holds numbers", "n (numbers)"]),
    "one column twice": (
        GOOD,
        {"text": "label", "label": "label"},
        ["A column has two roles", "Name each column once"],
    ),
    "text called label": ("label,y\n" + "x,1\nz,2\n" * 9, {"text": "label", "label": "y"}, ["called label", "Rename"]),
    "one class": (GOOD.replace(",b", ",a"), {}, ["Two classes are needed", "has 'a'", "--label"]),
    "few rows": (GOOD + "last,rare\n", {}, ["1 of 3 classes", "fewer than 2 rows", "'rare' (1)", "merge"]),
    "empty cells": (
        GOOD + " ,a\nx,\n" + ",b\n" * 5,
        {},
        ["7 of 47 rows of reviews.csv", "columns text, label; row 42, 43, 44, 45, 46, …", "--drop-empty"],
    ),
    "ragged": (GOOD + "one, two,a\n", {}, ["Line 42 of reviews.csv", "3 cells and the header 2", "Quote cells"]),
    "open quote": (GOOD + '"never closed,a\n', {}, ["Line 42 of reviews.csv", "cannot be read", "double the quotes"]),
    "columns alike": ("text,text,label\n" + "a,b,1\n", {}, ["two columns of one name", "Rename one"]),
    "latin 1": (
        GOOD.encode() + "café,a\n".encode("latin1"),
        {},
        ["reviews.csv is not UTF-8: byte 0xe9 in line 42", "iconv -f WINDOWS-1252 -t UTF-8 reviews.csv"],
    ),
    "utf 16": (GOOD.encode("utf-16"), {}, ["is not UTF-8", "line 1", "iconv -f UTF-16 -t UTF-8"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_csv(tmp_path: Path, mistake: str) -> None:
    content, options, phrases = MISTAKES[mistake]
    with pytest.raises(DataError, match=says(*phrases)):
        load(file(tmp_path, content), **options)


JSON_MISTAKES = {
    "cut line": ('{"text": "a", "label": 1}\n{"text": "b", "la', "rows.jsonl", ["Line 2 of rows.jsonl is not JSON"]),
    "no object": ('{"text": "a", "label": 1}\n"b"\n', "rows.jsonl", ["Line 2", "not a JSON object", "Write rows like"]),
    "broken list": ('[{"text": "a"}', "rows.json", ["rows.json is not JSON", "Write a list of objects"]),
    "list of texts": ('["a", "b"]', "rows.json", ["holds something other than objects", "Write rows like"]),
    "many labels": ('{"text": "a", "label": ["x"]}\n', "rows.jsonl", ["holds list cells", "one class per row"]),
    "not parquet": ("text,label\n", "rows.parquet", ["rows.parquet is not a Parquet file"]),
    "spreadsheet": ("PK", "rows.xlsx", ["no kind of file that dilm reads", ".csv, .tsv, .jsonl"]),
}


@pytest.mark.parametrize("mistake", JSON_MISTAKES)
def test_a_mistake_in_another_file(tmp_path: Path, mistake: str) -> None:
    content, name, phrases = JSON_MISTAKES[mistake]
    with pytest.raises(DataError, match=says(*phrases)):
        load(file(tmp_path, content, name))


def test_a_misspelt_file_is_told_its_neighbours(tmp_path: Path) -> None:
    file(tmp_path, GOOD)
    for source in (tmp_path / "revews.csv", str(tmp_path / "revews.csv")):
        with pytest.raises(DataError, match=says("no file", "revews.csv", "Did you mean `reviews.csv`?")):
            load(source)
    with pytest.raises(DataError, match=says("no file", "held.csv", "Data files in", "reviews.csv")):
        load(tmp_path / "reviews.csv", test=tmp_path / "held.csv")


def test_a_misspelt_task_is_told_the_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=says("'sst-2'", "Did you mean `sst2`?", "toy_pairs")):
        load("sst-2")


def test_a_misspelt_file_in_a_folder_is_not_taken_for_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    file(tmp_path / "data", GOOD)
    with pytest.raises(DataError, match=says("There is no file", "data/review", "Did you mean `reviews.csv`?")):
        load("data/review")


def test_a_damaged_saved_folder(tmp_path: Path) -> None:
    file(tmp_path, '{"splits": ["train"]}', "dataset_dict.json")
    with pytest.raises(DataError, match=says("is damaged", "Save it again")):
        load(tmp_path)


def test_a_folder_without_a_train_file(tmp_path: Path) -> None:
    file(tmp_path, GOOD, "test.csv")
    with pytest.raises(DataError, match=says("has no train split", "train.csv")):
        load(tmp_path)


def test_a_class_that_only_the_test_file_has(tmp_path: Path) -> None:
    held = file(tmp_path, "text,label\nx,a\ny,c\n", "held.csv")
    with pytest.raises(DataError, match=says("held.csv has 'c' in column 'label'", "no class of the train", "a, b")):
        load(file(tmp_path, GOOD), test=held)


def test_a_test_file_without_the_columns(tmp_path: Path) -> None:
    held = file(tmp_path, "texts,label\nx,a\n", "held.csv")
    with pytest.raises(DataError, match=says("held.csv has no column 'text'", "Did you mean `texts`?")):
        load(file(tmp_path, GOOD), test=held)


def test_empty_cells_of_a_test_file_are_told_too(tmp_path: Path) -> None:
    held = file(tmp_path, "text,label\nx,a\n,b\n", "held.csv")
    with pytest.raises(DataError, match=says("1 of 2 rows of held.csv", "row 3")):
        load(file(tmp_path, GOOD), test=held)
    assert len(load(file(tmp_path, GOOD), test=held, limits=Limits(drop_empty=True)).test) == 1


def test_too_few_rows_to_set_any_aside(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says("too few different rows to set some aside", "--test")):
        load(file(tmp_path, "text,label\nw,a\nx,b\ny,a\nz,b\n"))
