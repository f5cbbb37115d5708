"""`dilm distill` on a file as people have them: what is said where, and what can be read by a program."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dilm.api import STAGES
from dilm.cli import app

TINY = """
models.max_tokens=32 pretrain.vocabulary=300 pretrain.steps=2 fit.steps=60 fit.check_every=30 fit.batch=16 fit.lr=1e-2
match.steps=2 match.refresh_every=2 match.synthetic=8 match.real=8 match.teacher_sets=1 match.clusters=2 match.ages=2
match.age_steps=1 match.trajectories=1 match.check_every=0 generate.oversample=2 generate.attempts=20 select.sets=1
evaluate.seeds=1 evaluate.steps=2 evaluate.full_steps=2 evaluate.baselines=random,full runtime.threads=1
runtime.workers=1 runtime.device=cpu
"""


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-order mark, Windows line ends, quotes, a line break in a cell, an empty text, and a column too many."""
    rows = ["id,Stars,Review text"]
    for at in range(120):
        label, word = (("1", "dull"), ("5", "fine"))[at % 2]
        rows.append(f'{at},{label},"the ""plot"", café {at % 7}\n was {word}"')
    rows.append('999,5,""')
    file = tmp_path_factory.mktemp("data") / "my reviews.csv"
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    return file


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DILM_PROGRESS", "lines")
    monkeypatch.chdir(tmp_path)


def ask(*words: str):
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def distill(messy: Path, *words: str):
    settings = [word for setting in TINY.split() for word in ("--set", setting)]
    columns = ["--text", "Review text", "--label", "Stars", "--per-class", "2", "--generator", "scratch:tiny"]
    return ask("distill", str(messy), *columns, *settings, *words)


def test_a_row_without_text_stops_with_a_way_out(messy: Path):
    answer = distill(messy, "--out", "run")
    assert answer.exit_code == 2 and answer.stdout == ""
    assert "--drop-empty" in answer.stderr and "Traceback" not in answer.stderr


def test_from_a_messy_file_to_a_report(messy: Path):
    answer = distill(messy, "--drop-empty", "--out", "run")
    assert answer.exit_code == 0, answer.stderr
    *table, page, product = answer.stdout.splitlines()
    assert (page, product) == ("run/report.html", "run/distilled/distilled.jsonl")
    assert any("Random" in line or "random" in line for line in table)
    assert "fit: ..." in answer.stderr and "fit: ..." not in answer.stdout
    assert "warm up" in answer.stderr and "warm up" not in answer.stdout
    rows = [json.loads(line) for line in Path(product).read_text("utf-8").splitlines()]
    assert [row["label"] for row in rows] == ["1", "1", "5", "5"]
    assert all(set(row) == {"Review text", "label"} for row in rows)
    assert Path(page).read_text("utf-8").lstrip().lower().startswith("<!doctype html")

    told = distill(messy, "--drop-empty", "--out", "run", "--resume", "--json")
    assert told.exit_code == 0 and told.stdout.count("\n") == 1
    found = json.loads(told.stdout)
    assert found["examples"] == rows and found["per_class"] == 2
    assert {result["method"] for result in found["results"]} == {"dilm", "random", "full"}
    assert told.stderr.count("done already") == len(STAGES)

    refused = distill(messy, "--drop-empty", "--out", "run", "--json")
    assert refused.exit_code == 2 and set(json.loads(refused.stdout)) == {"error", "remedy"}


def test_a_suite_is_run_and_its_runs_are_compared(messy: Path, tmp_path: Path):
    columns = {"data.text": "Review text", "data.label": "Stars", "data.drop_empty": True}
    suite = {
        "tasks": [str(messy)],
        "sizes": [1, 2],
        "settings": columns | dict(each.split("=") for each in TINY.split()),
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
    words = ["benchmark", "--suite", "own.yaml", "--out", "out", "--generator", "scratch:tiny", "--json"]
    answer = ask(*words, "--set", "evaluate.learners=tfidf")
    assert answer.exit_code == 0, answer.stderr
    assert json.loads(answer.stdout) == {"page": "out/leaderboard.html", "table": "out/leaderboard.md"}
    table = Path("out/leaderboard.md").read_text("utf-8")
    assert "| method | 1 per class | 2 per class |" in table and "**DiLM**" in table
    assert ask(*words, "--set", "evaluate.learners=tfidf").stderr.count("done already") == 2 * len(STAGES)
    assert Path("out/leaderboard.md").read_text("utf-8") == table
    assert_made_again_from_scores(table)

    runs = [f"out/my reviews-{size}" for size in (1, 2)]
    shown = ask("compare", *runs, "--html", "page.html")
    assert shown.exit_code == 0, shown.stderr
    assert "DiLM" in shown.stdout and "2 per class" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "page.html"
    assert Path("page.html").read_text("utf-8").startswith("<!doctype html>")
    (task,) = json.loads(ask("compare", *runs, "--json").stdout)["tasks"]
    assert [run["run"] for run in task["runs"]] == [Path(run).name for run in runs]
    assert {row["learner"] for row in task["results"]} == {"tfidf"}

    shutil.rmtree("out/my reviews-2/evaluate")
    refused = ask("compare", *runs)
    assert refused.exit_code == 2 and "was not evaluated" in refused.stderr and refused.stdout == ""


def assert_made_again_from_scores(table: str) -> None:
    """Of every run only the recipe and the scores are left, and its data is gone too."""
    for file in Path("out").glob("*/scores.jsonl"):
        kept = Path("kept", file.parent.name)
        kept.mkdir(parents=True)
        for name in ("recipe.yaml", "scores.jsonl"):
            text = (file.parent / name).read_text("utf-8").replace("my reviews.csv", "gone.csv")
            (kept / name).write_text(text, encoding="utf-8")
    page = Path(json.loads(ask("benchmark", "--rebuild", "kept", "--json").stdout)["page"])
    assert Path("kept/leaderboard.md").read_text("utf-8") == table
    made, whole = page.read_text("utf-8"), Path("out/leaderboard.html").read_text("utf-8")
    assert re.findall("<table.*?</table>", made, re.DOTALL) == re.findall("<table.*?</table>", whole, re.DOTALL) != []
    assert "Made from scores alone" in made and "Made from scores alone" not in whole
