"""What published sets, and sets of finished runs, give away of the rows that they were made from.

    .venv/bin/python experiments/005-audit/run.py --published sst2 --out runs
    .venv/bin/python experiments/005-audit/run.py --runs runs/sst2-minilm runs/trec6

`--published` audits the authors' sets of a task, read from DILM_DATA, all twenty of a size together: from the texts
alone, since nothing else is there. `--runs` audits finished run folders in full, as `dilm audit --full` does. Records
land beside this script: figures, no rows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from random import Random

import numpy as np

from dilm import api
from dilm.build import open_encoder
from dilm.data.load import read
from dilm.data.own_sets import read_sets
from dilm.evaluation.contamination import compare
from dilm.models.linear import votes
from dilm.numerics.probe import fit_probe
from dilm.numerics.words import joined, words
from dilm.privacy import figures
from dilm.privacy.bigrams import Bigrams
from dilm.privacy.copying import copying, distance_ratio
from dilm.privacy.disclosures import Rows, copied_rows, disclosures
from dilm.privacy.findings import Audited
from dilm.protocols import Encoder
from dilm.reports.audit import Audit, Line
from dilm.reports.table import markdown_table
from dilm.runtime.device import choose
from dilm.types import Dataset

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import minilm  # noqa: E402

SIZES = (5, 10, 20)
SPAN = 6
SEED = 5
CONTROL = "random trained rows"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", nargs="*", default=[], metavar="TASK", help="tasks with published sets")
    parser.add_argument("--runs", nargs="*", default=[], type=Path, metavar="RUN", help="finished run folders")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where the encoder is linked to")
    given = parser.parse_args()
    for task in given.published:
        write(f"published-{task}", f"The published sets of {task}, from their texts alone", published(task, given.out))
    for run in given.runs:
        write(run.name, f"The run {run.name}, full audit", {"found": api.audit(run, "full")})


def published(task: str, out: Path) -> dict[str, dict]:
    """Size, and a control, to its audit. The control are rows that were trained on for sure: what a leak looks like."""
    train, held_out = read(task)
    assert held_out is not None
    rows = whole_rows(train)
    file = Path(os.environ["DILM_DATA"]) / "published_dilm" / f"{task}.parquet"
    place = choose("cpu")
    encoder = open_encoder(minilm(out), train.task, place)
    arms: dict[str, Dataset] = {}
    for size in SIZES:
        sets = read_sets(file, train.task, size)
        arms[f"{len(sets)} sets of {size}"] = Dataset(train.task, [row for each in sets for row in each])
    arms[CONTROL] = rows.sample(len(arms[f"{len(sets)} sets of {SIZES[-1]}"]), Random(SEED))
    return {name: audit(released, rows, held_out, encoder) for name, released in arms.items()}


def whole_rows(train: Dataset) -> Dataset:
    """Without rows that stand, word for word, inside another, and each once: SST-2's train rows are sentences and their
    phrases, with and without the full stop.

    Its validation rows are whole sentences, so phrases would be told from them by what they are, not by who learnt
    them; and no run of words would be one train row's alone.
    """
    said = [words(joined(row.texts)) for row in train]
    inside = {
        hash(row[first:last])
        for row in said
        for first in range(len(row))
        for last in range(first + 1, len(row) + 1)
        if last - first < len(row)
    }
    first: dict[tuple[str, ...], int] = {}
    for at, row in enumerate(said):
        if row and hash(row) not in inside:
            first.setdefault(row, at)
    return train.take(first.values())


def as_long(rows: Dataset, like: Dataset) -> Dataset:
    """A row for each of `like`, with as many words as there is one with, or nearly."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for at in Random(SEED).sample(range(len(rows)), len(rows)):
        by_length[len(words(joined(rows[at].texts)))].append(at)
    found = []
    for row in like:
        wanted = len(words(joined(row.texts)))
        length = min((each for each, left in by_length.items() if left), key=lambda each: abs(each - wanted))
        found.append(by_length[length].pop())
    return rows.take(found)


def audit(released: Dataset, train: Dataset, held_out: Dataset, encoder: Encoder) -> dict:
    """Everything that texts alone can be asked. Rows of either kind are as many, and as long."""
    members = as_long(train, held_out)
    sides, said = (members, held_out), texts(released)
    known, bigrams = Rows.of(texts(train), texts(held_out)), Bigrams(said)
    points, probe = encoder.encode(released), taught(released, encoder)
    away = [1 - (points @ encoder.encode(side).T).max(1).astype(float) for side in sides]
    near = [(encoder.encode(side) @ points.T).max(1).astype(float) for side in sides]
    likely = [bigrams.scores(texts(side)) for side in sides]
    fits = [probe.log_probabilities(encoder.encode(side))[np.arange(len(side)), side.labels] for side in sides]
    found = [
        figures.copied("released", copied_rows(said, known)),
        *figures.repeated("released", copying(*(compare(released, side).texts for side in sides), len(held_out))),
        figures.disclosed("released", disclosures(said, known, SPAN), SPAN),
        figures.nearer(distance_ratio(*away), f"{len(released):,} texts, {len(held_out):,} rows a side"),
        *figures.told_apart("bigram", "their likelihood under word pairs of the texts", "released", *likely),
        *figures.told_apart("nearest", "nearness to a text", "released", *near),
        *figures.told_apart("aux", "the loss of a probe on frozen MiniLM trained on the texts", "released", *fits),
    ]
    counts = {"released texts": len(released), "rows a side": len(held_out), "all trained rows": len(known.trained)}
    return Audited.of("texts", found, counts, ("Everything that needs the generator.",), ()).plain()


def taught(rows: Dataset, encoder: Encoder):
    """A logistic head on the encoder's points."""
    where, labels, weights = votes(rows)
    return fit_probe(encoder.encode(rows)[where], labels, weights)


def texts(rows: Dataset) -> list[str]:
    return [joined(row.texts) for row in rows]


def write(name: str, about: str, found: Mapping[str, dict]) -> None:
    """The record, and its table: a row for each figure, a column for each audit."""
    (HERE / f"{name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    columns = {arm: {line.name: line for line in Audit.of(told).lines} for arm, told in found.items()}
    titles = {line: each.title for lines in columns.values() for line, each in lines.items()}
    rows = [("", (title, *(cell(lines.get(line)) for lines in columns.values()))) for line, title in titles.items()]
    verdicts = ("", ("verdict", *(told["verdict"]["badge"] for told in found.values())))
    table = markdown_table(f"{about}:", ("figure", *columns), [*rows, verdicts])
    (HERE / f"{name}.md").write_text(table + "\n", encoding="utf-8")
    print(table)


def cell(line: Line | None) -> str:
    """Found (interval), what it is without a leak, p after correction."""
    if line is None:
        return "-"
    value, ends, guess, p = line.cells
    said = value if line.low is None else f"{value} ({ends})"
    return f"{said}; {guess} without" + (f"; p {p}" if line.corrected is not None else "")


if __name__ == "__main__":
    main()
