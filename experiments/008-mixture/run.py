"""Does a mixture of generators write more diverse, more useful texts than one generator that cost as much?

    DILM_DATA=path/to/data .venv/bin/python experiments/008-mixture/run.py --out runs/mixture

Needs `make experiments`: MiniLM chooses and judges texts. TREC, generators made from scratch: one, and mixtures of two
and three of the same size with other seeds. A step of `fit` costs the same, for one member learns a row; a step of
`match` costs as many passes as there are members, so a mixture of k makes 1/k of the steps. The tokens that `fit` and
`match` really read stand in the table. Runs continue where they were stopped. `--quick` walks the same way in minutes
and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import minilm  # noqa: E402
from small_models import SMALL_MODELS  # noqa: E402
from tables import ahead, compared, interval, mean, write  # noqa: E402

from dilm import api  # noqa: E402
from dilm.build import Bench  # noqa: E402
from dilm.runs import Run  # noqa: E402
from dilm.stages.records import scores  # noqa: E402
from dilm.types import Score  # noqa: E402

ARMS = {"one generator": 1, "a mixture of two": 2, "a mixture of three": 3}
"""How many members."""
SINGLE = "one generator"
STEPS = 30
"""Matching steps of one generator."""
PER_CLASS = 10
SETTINGS: dict[str, Any] = SMALL_MODELS | {
    "data.seed": 0,
    "pretrain.steps": 300,
    "fit.steps": 400,
    "match.check_every": 0,
    "match.refresh_every": 10,
    "select.sets": 5,
    "evaluate.baselines": "random",
}
QUICK = {
    "data.train_rows": 500,
    "data.dev_rows": 60,
    "data.test_rows": 60,
    "pretrain.vocabulary": 600,
    "pretrain.steps": 4,
    "models.max_tokens": 24,
    "fit.steps": 20,
    "fit.batch": 16,
    "fit.check_every": 10,
    "fit.lr": 1e-2,
    "match.synthetic": 8,
    "match.refresh_every": 2,
    "match.real": 20,
    "generate.oversample": 2,
    "generate.attempts": 200,
    "select.sets": 1,
    "evaluate.steps": 2,
}
MEASURES = ("distinct words", "distinct triples of words", "self-BLEU")
"""Of the texts, as the report names them; the last needs sacrebleu."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="a folder for all runs")
    parser.add_argument("--source", default="trec6")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    found: list[Score] = []
    told: dict[str, list[dict[str, str]]] = {arm: [] for arm in ARMS}
    for seed in range(1 if given.quick else given.seeds):
        for arm, members in ARMS.items():
            run = walk(given, members, seed)
            found += scored(run, arm, seed)
            told[arm].append(facts(run))
    record(found, told, (given.out if given.quick else HERE) / Path(given.source).name)


def walk(given: argparse.Namespace, members: int, seed: int) -> Run:
    """The finished run of one arm and seed."""
    steps = 12 if given.quick else STEPS
    settings = SETTINGS | (QUICK if given.quick else {})
    encoder = minilm(given.out)  # judges texts; no part of the distillation
    settings |= {"models.encoder": encoder, "evaluate.learners": ["same", f"frozen:{encoder}", "tfidf"]}
    settings |= {"models.mixture": (settings["models.generator"],) * (members - 1), "match.steps": steps // members}
    folder = given.out / f"{Path(given.source).name}-{members}-seed{seed}"
    os.environ["DILM_CACHE"] = str(given.out / "cache" / folder.name)  # else the first arm pays what all of them use
    size = 2 if given.quick else PER_CLASS
    recipe = api.recipe_for(given.source, per_class=size, seed=seed, settings=settings)
    run = api.open_run(recipe, folder, resume=folder.exists())
    api.distill_run(run)
    return run


def facts(run: Run) -> dict[str, str]:
    """Tokens that made the generator, and what its texts are like."""
    spent = sum((run.stage(name).manifest or {})["tokens"] for name in ("fit", "match"))
    measured = {
        row["name"]: row["value"] for row in json.loads((run.folder / "report" / "text.json").read_text("utf-8"))
    }
    return {"tokens": str(spent)} | {name: measured.get(name) or "-" for name in MEASURES}


def scored(run: Run, arm: str, seed: int) -> Iterator[Score]:
    """The run's scores, ours under the name of the arm; sets and trainings are told apart between runs."""
    for score in scores(Bench(run), (run.stage("evaluate").manifest or {})["trials"]):
        name = arm if score.method == "dilm" else score.method
        if name == arm or arm == SINGLE:  # random rows are the same in all arms
            yield replace(score, method=name, set=100 * seed + score.set, seed=100 * seed + score.seed)


def record(found: list[Score], told: dict[str, list[dict[str, str]]], file: Path) -> None:
    """The table and the scores behind it."""
    lines = []
    for each, gap in compared(found, SINGLE):
        facts = told.get(each.method, [])
        cells = [" / ".join(row[name] for row in facts) or "-" for name in ("tokens", *MEASURES)]
        lines.append((each.method, each.learner, mean(each), interval(each), ahead(gap), *cells))
    about = f"{file.name}, {PER_CLASS} per class, accuracy in percent; one value for each seed where several stand."
    names = (
        "generator",
        "learner",
        "mean",
        "95 % interval",
        "ahead of one generator",
        "tokens of fit and match",
        *MEASURES,
    )
    write(file, about, names, lines, found)


if __name__ == "__main__":
    main()
