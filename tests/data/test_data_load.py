"""Whatever holds labelled text becomes the same three splits, whichever way it was written."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import datasets
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilm.data.columns import Roles, one_of_each
from dilm.data.load import Limits, estimate_max_tokens, load
from dilm.data.tables import Table, read_table
from dilm.errors import DataError
from dilm.types import Dataset, Example, Splits, Task

ROWS = [{"review": f"text number {n}", "stars": (n % 3) + 1} for n in range(60)]
WRITERS = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "json": lambda frame, path: frame.to_json(path, orient="records"),
    "parquet": lambda frame, path: frame.to_parquet(path),
}


def write(path: Path, rows: list[dict] = ROWS) -> Path:
    WRITERS[path.suffix[1:]](pd.DataFrame(rows), path)
    return path


def fingerprints(splits: Splits) -> list[str]:
    return [part.fingerprint for part in (splits.train, splits.dev, splits.test)]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_splits(tmp_path: Path, kind: str) -> None:
    found = load(write(tmp_path / f"My reviews.{kind}"))
    assert fingerprints(found) == fingerprints(load(write(tmp_path / "other.jsonl")))
    assert found.task == Task("my-reviews", ("review",), ("1", "2", "3"), max_tokens=32)
    assert [len(part) for part in (found.train, found.dev, found.test)] == [43, 5, 12]


def test_a_string_or_a_path_a_column_or_a_list(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    assert fingerprints(load(path)) == fingerprints(load(str(path), text="review", label="stars"))
    assert fingerprints(load(path)) == fingerprints(load(path, text=["review"]))


def test_the_seed_decides_and_decides_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    assert fingerprints(load(path, seed=1)) == fingerprints(load(path, seed=1))
    assert not set(fingerprints(load(path, seed=1))) & set(fingerprints(load(path, seed=2)))


def test_limits_bound_the_parts(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "label": n % 2} for n in range(1000)]
    found = load(write(tmp_path / "a.csv", rows), limits=Limits(dev_rows=20, test_rows=30, train_rows=100))
    assert [part.counts for part in (found.train, found.dev, found.test)] == [(50, 50), (10, 10), (15, 15)]


def test_carved_parts_share_no_text(tmp_path: Path) -> None:
    rows = [{"text": f"t{n % 40}", "label": n % 2} for n in range(200)]
    found = load(write(tmp_path / "a.csv", rows))
    texts = [{row.texts for row in part} for part in (found.train, found.dev, found.test)]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 40


def test_a_messy_csv_from_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "Bewertungen 2024.csv"
    lines = ["\ufeffText ;Sterne;id"]
    for n in range(6):
        lines += [f'"Sehr ""gut"";\nwirklich, {n} 👍 ";10;{n}', f" NA {n}  ; 2 ;{n}", f'"naïve café\u2028{n}";9;{n}']
    path.write_bytes("\r\n".join([*lines, "", ""]).encode())
    found = load(path, label="Sterne", limits=Limits(dev_rows=3))
    assert found.task.labels == ("2", "9", "10")
    assert found.task.fields == ("Text",)
    everything = [*found.train, *found.dev, *found.test]
    assert Example(('Sehr "gut";\nwirklich, 3 👍',), 2) in everything
    assert Example(("NA 3",), 0) in everything
    assert Example(("naïve café\u20283",), 1) in everything
    assert len(everything) == 18


def test_words_that_other_readers_take_for_missing_stay_words(tmp_path: Path) -> None:
    words = ["NA", "null", "None", "nan", "N/A"]
    (tmp_path / "a.csv").write_text(
        "text,label\n" + "".join(f"{word} {n},{word}\n" for word in words for n in range(4))
    )
    assert load(tmp_path / "a.csv").task.labels == tuple(sorted(words))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([10, 9, 2], ("2", "9", "10")),
        (["10", "9", "2"], ("2", "9", "10")),
        ([1.0, 2.0, 2.5], ("1", "2", "2.5")),
        ([True, False, False], ("False", "True")),
        (["b", "a ", "B"], ("B", "a", "b")),
        (["-1", "0", "1"], ("-1", "0", "1")),
        (["01", "02", "1"], ("01", "1", "02")),
    ],
)
def test_class_names_are_sorted_as_people_would(tmp_path: Path, labels: list, names: tuple[str, ...]) -> None:
    rows = [{"text": f"{n} {label}", "label": label} for n in range(4) for label in labels]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert load(tmp_path / "a.jsonl").task.labels == names


def test_pairs_keep_the_order_that_was_asked_for(tmp_path: Path) -> None:
    rows = [{"q1": f"a {n}", "q2": f"b {n}", "same": n % 2} for n in range(40)]
    found = load(write(tmp_path / "a.csv", rows), text=("q2", "q1"), label="same")
    assert found.task.fields == ("q2", "q1")
    assert all(row.texts[0].startswith("b") and row.texts[1].startswith("a") for row in found.train)


def test_the_only_text_column_is_found_among_numbers(tmp_path: Path) -> None:
    rows = [{"id": n, "when": n / 7, "said": f"text {n}", "Label": "ab"[n % 2]} for n in range(40)]
    assert load(write(tmp_path / "a.csv", rows)).task.fields == ("said",)


def test_a_test_file_is_scored_untouched(tmp_path: Path) -> None:
    given = [{"review": "text number 1", "stars": 2}] * 3
    found = load(write(tmp_path / "a.csv"), test=write(tmp_path / "held out.jsonl", given))
    assert found.test.examples == (Example(("text number 1",), 1),) * 3
    assert [len(found.train), len(found.dev)] == [54, 6]


def test_a_folder_with_its_own_splits(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.parquet", ROWS[:30])
    write(tmp_path / "train-00001-of-00002.parquet", ROWS[30:])
    write(tmp_path / "validation.csv", ROWS[:3])
    write(tmp_path / "train_more.csv", ROWS[:1])
    write(tmp_path / "validation_hard.csv", ROWS[:1])
    assert len(load(tmp_path).train) == 54
    assert len(load(tmp_path).test) == 3
    write(tmp_path / "test.jsonl", [{**row, "stars": -1} for row in ROWS[:9]])
    assert len(load(tmp_path).test) == 3, "a test split without answers cannot be scored"
    write(tmp_path / "test.jsonl", ROWS[:6])
    assert len(load(tmp_path).test) == 6


def saved(kind: type, labels: list) -> datasets.Dataset:
    label = datasets.ClassLabel(names=["zebra", "ant", "unused", "bee"]) if kind is int else datasets.Value("string")
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    return datasets.Dataset.from_dict({"text": [f"t{n}" for n in range(len(labels))], "label": labels}, features)


def test_saved_datasets_keep_their_class_names(tmp_path: Path) -> None:
    train = saved(int, [0, 1, 3] * 10)
    train.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=train, test=saved(int, [3, 0])).save_to_disk(tmp_path / "two")
    assert load(tmp_path / "one").task.labels == ("zebra", "ant", "bee")
    assert load(tmp_path / "two").test.labels == [2, 0]
    train.to_parquet(tmp_path / "three.parquet")
    assert fingerprints(load(tmp_path / "three.parquet")) == fingerprints(load(tmp_path / "one"))
    assert load(tmp_path / "one", test=write(tmp_path / "t.csv", [{"text": "a", "label": "bee"}])).test.labels == [2]


def test_rows_with_empty_cells_can_be_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [*ROWS, {"review": "  ", "stars": 1}, {"review": "no stars", "stars": None}, {"review": 5, "stars": 1}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with caplog.at_level(logging.WARNING):
        found = load(tmp_path / "a.jsonl", text="review", limits=Limits(drop_empty=True))
    assert "3 of 63 rows of a.jsonl" in caplog.text and "row 61, 62, 63" in caplog.text
    assert fingerprints(found) == fingerprints(load(write(tmp_path / "b.csv")))


def test_text_length_is_estimated_from_all_fields() -> None:
    task = Task("t", ("a", "b"), ("0", "1"))
    assert estimate_max_tokens(Dataset(task, [Example(("word " * 30, "word " * 20), 0)] * 100)) == 104
    assert estimate_max_tokens(Dataset(task, [Example(("a", "b"), 0)])) == 32
    assert estimate_max_tokens(Dataset(task, [Example(("a " * 900, "b"), 0)])) == 512


def test_reading_opens_no_network_and_writes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    before = sorted(os.listdir(tmp_path))
    load(tmp_path / "a.csv")
    assert sorted(os.listdir(tmp_path)) == before == ["a.csv"]


def test_numbers_in_a_text_file_keep_their_spelling(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "007,a\n7,b\n1e5,a\n" * 5)
    assert read_table(tmp_path / "a.csv").columns["text"][:3] == ["007", "7", "1e5"]


OWNED = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["x", "y", "z"]), st.booleans()), min_size=1)


@given(OWNED, OWNED, st.randoms(use_true_random=False))
def test_a_user_more_is_a_row_more_and_changes_no_other_row(rows, others, random) -> None:
    roles = Roles(("text",), "label", user="who")

    def kept(given: list) -> list[tuple]:
        names, texts, labels = (list(column) for column in zip(*given, strict=True))
        table = Table("t", {"who": names, "text": texts, "label": labels})
        return [given[row] for row in one_of_each(table, roles, range(len(given)))]

    before = kept(rows)
    assert sorted(who for who, _, _ in before) == sorted({who for who, _, _ in rows})
    newcomer = [("new", text, label) for _, text, label in others]
    mixed = rows + newcomer
    random.shuffle(mixed)
    assert sorted(row for row in kept(mixed) if row[0] != "new") == sorted(before)
    assert len(kept(mixed)) == len(before) + 1


def test_one_row_of_each_user_is_kept_before_anything_is_carved(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "label": n % 2, "who": f"u{n // 4}"} for n in range(400)]
    found = load(write(tmp_path / "a.csv", rows), text="text", limits=Limits(dev_rows=20, test_rows=30, user="who"))
    everything = [int(row.texts[0][1:]) // 4 for part in (found.train, found.dev, found.test) for row in part]
    assert sorted(everything) == list(range(100))


def test_a_row_of_nobody_is_an_error(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "label": n % 2, "who": "" if n in (3, 5) else f"u{n}"} for n in range(40)]
    with pytest.raises(DataError, match=r"Row 5 .*'who', nor have 1 others"):
        load(write(tmp_path / "a.csv", rows), text="text", limits=Limits(user="who"))
    with pytest.raises(DataError, match="no column 'whom'"):
        load(write(tmp_path / "a.csv", rows), text="text", limits=Limits(user="whom"))
