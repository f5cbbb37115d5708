"""`dilm anonymize` on files as people have them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import dilm
from dilm.cli import app
from dilm.errors import DataError

RULES = {"patterns": {"MAIL": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "NUMBER": r"\+?\d(?:[ -]?\d){6,}"}}
SECRETS = ("anna@example.org", "ANNA@example.org", "555 01 99 123", "4111 1111 1111 1111")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A messy file: byte order mark, semicolons, Windows line ends, a line break in a cell, numbers with zeros."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DILM_PROGRESS", "none")
    rows = [
        "id;Stars;Review text;phone;price",
        '007;5;"write to anna@example.org;\r\nor ""call"" 555 01 99 123";5550199123;1.50',
        "008;1;café, nothing here 🙂;;2",
        '009;5;"ANNA@example.org","x" 4111 1111 1111 1111;;3.0'.replace('"ANNA@example.org","x"', "ANNA@example.org x"),
    ]
    (tmp_path / "my reviews.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode() + b"\r\n")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES), encoding="utf-8")
    return tmp_path


def ask(*words: str):
    return CliRunner().invoke(app, ["anonymize", *words], catch_exceptions=False)


OWN = ("--patterns", "rules.yaml", "--set", "anonymize.languages=")


def cells(file: str) -> list[dict[str, str]]:
    with Path(file).open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle, delimiter=";"))


def test_a_messy_file_is_written_again_without_its_secrets(here: Path):
    answer = ask("my reviews.csv", "--out", "clean.csv", "--label", "Stars", *OWN, "--json")
    assert answer.exit_code == 0, answer.stderr
    assert Path("clean.csv").read_bytes().startswith(b"\xef\xbb\xbfid;Stars;Review text;phone;price\r\n")
    assert cells("clean.csv") == [
        {
            "id": "007",
            "Stars": "5",
            "Review text": 'write to <MAIL>;\r\nor "call" <NUMBER>',
            "phone": "<NUMBER>",
            "price": "1.50",
        },
        {"id": "008", "Stars": "1", "Review text": "café, nothing here 🙂", "phone": "", "price": "2"},
        {"id": "009", "Stars": "5", "Review text": "<MAIL> x <NUMBER>", "phone": "", "price": "3.0"},
    ]
    told = json.loads(answer.stdout)
    assert told["written"] == ["clean.csv"] and told["kinds"] == {"NUMBER": 3, "MAIL": 2}
    assert {"split": "my reviews.csv", "row": 2, "field": "phone", "kind": "NUMBER", "count": 1} in told["places"]
    assert told["detectors"] == ["your own rules: MAIL, NUMBER"] and "not differential privacy" in told["note"]
    assert not [secret for secret in SECRETS if secret in answer.stdout + answer.stderr]


def test_a_second_time_changes_nothing(here: Path):
    ask("my reviews.csv", "--out", "one.csv", "--operator", "hash", *OWN)
    again = ask("one.csv", "--out", "two.csv", "--operator", "hash", *OWN, "--json")
    assert json.loads(again.stdout)["places"] == []
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()


def test_files_of_a_folder_share_stand_ins_and_each_call_has_a_salt_of_its_own(here: Path):
    Path("in").mkdir()
    for name in ("train.csv", "test.csv"):
        Path("in", name).write_text("text,label\nanna@example.org,a\n", encoding="utf-8")
    made = []
    for out in ("out", "other"):
        assert ask("in", "--out", out, "--operator", "pseudonym", *OWN).exit_code == 0
        made.append([Path(out, name).read_text("utf-8") for name in ("train.csv", "test.csv")])
    assert made[0][0] == made[0][1] != made[1][0] and "<MAIL:" in made[0][0]


def test_only_the_columns_that_are_named_are_looked_at(here: Path):
    ask("my reviews.csv", "--out", "clean.csv", "--text", "Review text", *OWN)
    assert [row["phone"] for row in cells("clean.csv")] == ["5550199123", "", ""]


def test_python_says_the_same(here: Path):
    found = dilm.anonymize(
        "my reviews.csv", "clean.csv", text="Review text", patterns="rules.yaml", settings={"anonymize.languages": ()}
    )
    assert found["touched"] == {"my reviews.csv": 2}
    with pytest.raises(DataError, match="is what is read"):
        dilm.anonymize("clean.csv", "clean.csv", patterns="rules.yaml", settings={"anonymize.languages": ()})


MISTAKES = [
    (("my reviews.csv", "--out", "clean.jsonl", *OWN), "ends in .csv"),
    (("my reviews.csv", "--out", "my reviews.csv", *OWN), "is what is read"),
    (("my reviews.csv", "--out", "a.csv", "--text", "Reviewtext", *OWN), "Did you mean `Review text`"),
    (("my reviews.csv", "--out", "a.csv", "--label", "Star", *OWN), "Did you mean `Stars`"),
    (("nowhere.csv", "--out", "a.csv", *OWN), "There is no file"),
    (("my reviews.csv", "--out", "a.csv", "--operator", "hide", *OWN), "anonymize.operator does not know 'hide'"),
    (("my reviews.csv", "--out", "a.csv", "--set", "anonymize.languages="), "no detector is left"),
    (("my reviews.csv", "--out", "a.csv", *OWN, "--set", "anonymize.kinds=MIAL"), "Did you mean `MAIL`"),
    (("nested.jsonl", "--out", "a.jsonl", *OWN), "cannot be looked into"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES)
def test_a_mistake_is_one_paragraph_and_writes_nothing(here: Path, words: tuple[str, ...], said: str):
    Path("nested.jsonl").write_text('{"text": ["anna@example.org"]}\n', encoding="utf-8")
    before = {file: file.read_bytes() for file in here.iterdir()}
    answer = ask(*words)
    assert answer.exit_code == 2 and said in answer.stderr and answer.stderr.startswith("Error: ")
    assert {file: file.read_bytes() for file in here.iterdir()} == before


def test_presidio_finds_what_has_a_shape(here: Path):
    pytest.importorskip("presidio_analyzer")
    answer = ask("my reviews.csv", "--out", "clean.csv", "--json")
    assert {"EMAIL_ADDRESS", "CREDIT_CARD"} <= set(json.loads(answer.stdout)["kinds"])
    assert "anna@example.org" not in Path("clean.csv").read_text("utf-8").lower()
    assert [row["id"] for row in cells("clean.csv")] == ["007", "008", "009"]
