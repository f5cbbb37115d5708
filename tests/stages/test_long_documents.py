"""Rows that are all longer than a generator may write: it learns passages of them, and writes texts that end."""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random

from tiny_runs import SETTINGS, START

from dilm import api
from dilm.stages.notes import notes

QUICK = {"match.steps": 0, "evaluate.baselines": ["random"], "evaluate.seeds": 1, "select.sets": 1}


def documents(source: Path, file: Path) -> Path:
    """Twelve reviews of a class, one after the other, in each row."""
    with source.open(encoding="utf-8") as lines:
        reviews = list(csv.DictReader(lines))
    rng = Random(0)
    with file.open("w", newline="", encoding="utf-8") as lines:
        rows = csv.writer(lines)
        rows.writerow(("review", "stars"))
        for stars in sorted({row["stars"] for row in reviews}) * 60:
            alike = [row["review"] for row in reviews if row["stars"] == stars]
            rows.writerow((" ".join(f"{text}." for text in rng.choices(alike, k=12)), stars))
    return file


def test_a_run_on_long_documents_writes_passages_that_end(source: Path, tmp_path: Path):
    settings = SETTINGS | QUICK | {"fit.steps": 120}
    long = documents(source, tmp_path / "documents.csv")
    api.distill(str(long), out=tmp_path / "run", settings=settings, **START)
    run = api.existing_run(tmp_path / "run")
    manifests = {name: run.stage(name).manifest or {} for name in ("load", "fit", "generate")}
    assert manifests["load"]["longer"] == 1
    verdicts = manifests["generate"]["verdicts"]["dilm"]
    assert verdicts["kept"] > verdicts.get("too long", 0)
    hardly_any = manifests | {"load": manifests["load"] | {"longer": 0.001}}
    told, untold = (" ".join(notes(run.recipe, known)) for known in (manifests, hardly_any))
    assert "At least 100% of train rows are longer than the 24 tokens of a text" in told
    assert "At least" not in untold
