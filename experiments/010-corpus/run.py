"""Does reading unlabelled film reviews first make better sets of SST-2? With and without `imdb/unlabelled`.

    .venv/bin/python experiments/010-corpus/run.py --out runs/corpus

Needs `make experiments` and DILM_DATA. For each seed three generators: `none` is fitted as it is, `corpus` reads
sentences of IMDb's unlabelled reviews before, and `longer` is fitted for as many steps more, so that reading
is compared with the same work. Nothing is matched. Test rows, several learners. Runs continue where they were stopped.
`--quick` walks the same way in minutes and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from dilm import api, leaderboard
from dilm.journal import FINDINGS
from dilm.runs import Run
from dilm.stages.records import scores
from dilm.types import Score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import minilm  # noqa: E402
from small_models import SMALL_MODELS  # noqa: E402
from tables import ahead, compared, interval, mean, write  # noqa: E402

PER_CLASS = 10
READING = 300
SETTINGS: dict[str, Any] = SMALL_MODELS | {
    "fit.steps": 300,
    "fit.batch": 32,
    "corpus.batch": 32,
    "evaluate.lr": 1e-4,  # MiniLM's
    "evaluate.steps": 60,
    "models.max_tokens": 48,
    "match.steps": 0,
    "fit.patience": 99,
    "select.sets": 5,
    "generate.oversample": 40,
    "evaluate.baselines": ["random", "typical"],
}
QUICK = {
    "models.generator": "scratch:tiny",
    "data.train_rows": 300,
    "data.dev_rows": 60,
    "data.test_rows": 60,
    "fit.steps": 20,
    "fit.check_every": 20,
    "fit.batch": 16,
    "corpus.batch": 16,
    "corpus.rows": 500,
    "pretrain.steps": 4,
    "generate.oversample": 4,
    "generate.attempts": 500,
    "select.sets": 2,
    "evaluate.steps": 4,
}


def arms(steps: int, reading: int) -> dict[str, dict[str, Any]]:
    read = {"corpus.source": "imdb/unlabelled", "corpus.unit": "sentence", "corpus.steps": reading}
    return {"none": {}, "corpus": read, "longer": {"fit.steps": steps + reading}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="a folder for all runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--records", type=Path, default=HERE, help="where tables and records are written")
    parser.add_argument("--quick", action="store_true", help="tiny settings, to see that the script runs")
    given = parser.parse_args()
    encoder = minilm(given.out)
    learners = {
        "models.encoder": encoder,
        "models.learner": encoder,
        "evaluate.learners": [f"first-3:{encoder}", f"frozen:{encoder}", "tfidf"],
    }
    settings = SETTINGS | learners | (QUICK if given.quick else {})
    seeds, reading = (1, 20) if given.quick else (given.seeds, READING)
    named = {
        (seed, arm): leaderboard.Entry(
            given.out / f"{seed}-{arm}",
            api.recipe_for("sst2", per_class=PER_CLASS, settings=settings | said, seed=seed),
        )
        for seed in range(seeds)
        for arm, said in arms(settings["fit.steps"], reading).items()
    }
    done = dict(zip(named, leaderboard.run_all(list(named.values())), strict=True))
    found = [score for (seed, arm), run in done.items() for score in of_arm(run, seed, arm)]
    write_table(found, done, given.records)


def of_arm(run: Run, seed: int, arm: str) -> list[Score]:
    """Its sets under its name; real rows once for each seed. Sets are numbered through all seeds."""
    trials = (run.stage("evaluate").manifest or {})["trials"]
    sets = run.recipe.select.sets
    return [
        replace(
            score, method=arm if score.method == "dilm" else f"{score.method}, real rows", set=seed * sets + score.set
        )
        for score in scores(api.begun.bench_of(run, FINDINGS), trials)
        if score.method == "dilm" or arm == "none"
    ]


def write_table(found: list[Score], done: dict[tuple[int, str], Run], records: Path) -> None:
    lines = []
    for each, gap in compared(found, "none"):
        lines.append((each.method, each.learner, mean(each), interval(each), ahead(gap)))
    nll = {
        arm: fmean((run.stage("fit").manifest or {})["dev_nll"] for (_, of), run in done.items() if of == arm)
        for arm in dict.fromkeys(arm for _, arm in done)
    }
    told = ", ".join(f"{arm} {value:.3f}" for arm, value in nll.items())
    about = f"sst2, {PER_CLASS} per class, accuracy on test rows in percent. Nll of a dev token after fit: {told}."
    records.mkdir(parents=True, exist_ok=True)
    write(records / "sst2", about, ("sets", "learner", "mean", "95 % interval", "ahead of none by"), lines, found)
    read = {f"{seed}-{arm}": (run.stage("fit").manifest or {}).get("corpus") for (seed, arm), run in done.items()}
    (records / "read.json").write_text(json.dumps(read, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
