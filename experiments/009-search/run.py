"""What does a search of thirty trials find? Scored on dev rows; then the best and the default recipe, on test rows.

    .venv/bin/python experiments/009-search/run.py --out runs/search --source sst2

Needs `make experiments` and DILM_DATA. The search continues where it was stopped. The best trial's dev score is the
highest of many, so it promises too much: both recipes are run again with another seed and more sets, and scored on test
rows. `--quick` walks the same way in minutes and measures nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from dilm import api, leaderboard, pipeline, runs
from dilm.recipe import Recipe, book
from dilm.searching import tuning
from dilm.stages.records import scores
from dilm.types import Score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import minilm  # noqa: E402
from small_models import SMALL_MODELS  # noqa: E402
from tables import ahead, compared, interval, mean, write  # noqa: E402

TRIALS = 30
SETTINGS: dict[str, Any] = SMALL_MODELS | {
    "per_class": 5,
    "models.generator": "scratch:tiny",
    "models.max_tokens": 24,
    "data.train_rows": 1500,
    "data.dev_rows": 600,
    "race.rows": 100,
    "pretrain.vocabulary": 1000,
    "pretrain.steps": 80,
    "pretrain.batch": 32,
    "fit.steps": 200,
    "fit.batch": 32,
    "fit.check_every": 100,
    "match.steps": 4,
    "match.synthetic": 12,
    "match.real": 50,
    "match.teacher_sets": 2,
    "match.ages": 3,
    "match.age_steps": 5,
    "match.refresh_every": 2,
    "match.check_every": 2,
    "match.check_sets": 1,
    "match.check_per_class": 5,
    "match.check_oversample": 5,
    "match.check_steps": 10,
    "match.check_rows": 200,
    "generate.oversample": 10,
    "generate.attempts": 40,
    "select.sets": 4,
    "runtime.workers": 1,
}
QUICK = {
    "fit.steps": 20,
    "fit.check_every": 20,
    "data.train_rows": 300,
    "data.dev_rows": 80,
    "data.test_rows": 60,
    "race.rows": 20,
    "pretrain.steps": 4,
    "match.check_steps": 2,
    "generate.oversample": 4,
    "generate.attempts": 200,
    "select.sets": 2,
}
QUICK_SPACE = {"generate.top_p": {"low": 0.8, "high": 1.0}, "select.method": {"choices": ["typical", "random"]}}
FINAL = {"select.sets": 8, "evaluate.baselines": ["random", "typical"]}
SEED = 1
"""Of the runs that are scored on test rows; the search has 0."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="a folder for all runs")
    parser.add_argument("--source", default="sst2")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--records", type=Path, default=HERE, help="where tables and records are written")
    parser.add_argument("--quick", action="store_true", help="tiny settings, to see that the script runs")
    given = parser.parse_args()
    encoder = minilm(given.out)
    models = {"evaluate.learners": [f"frozen:{encoder}", "tfidf"]}
    settings = SETTINGS | models | {"data.source": given.source} | (QUICK if given.quick else {})
    space = QUICK_SPACE if given.quick else str(HERE / "space.yaml")
    trials = min(given.trials, 3) if given.quick else given.trials
    out = given.out / f"{Path(given.source).name}-search"
    found = api.search("default", space, trials=trials, out=out, settings=settings)
    given.records.mkdir(parents=True, exist_ok=True)
    for name in (tuning.TABLE, tuning.RECORD):
        shutil.copy(out / name, given.records / name)
    assert found.best
    base = book.override(book.read("default"), settings)
    arms = {"default": base, "best": book.override(base, found.best.settings)}
    scored = [score for name, recipe in arms.items() for score in on_test(name, recipe, given.out, given.quick)]
    write_table(scored, Path(given.source).name, given.records)


def on_test(name: str, recipe: Recipe, out: Path, quick: bool) -> list[Score]:
    """The sets of one recipe, and of real rows, each with every learner on test rows."""
    more = FINAL | {"seed": SEED, "data.seed": 0} | ({"select.sets": 2} if quick else {})
    run = runs.create(out / f"test-{name}", book.override(recipe, more), resume=True)
    if (out / "test-default").exists() and name != "default":
        with pipeline.at_work(run):
            leaderboard.share(runs.existing(out / "test-default"), run)
    api.distill_run(run)
    found = scores(api.begun.bench_of(run), (run.stage("evaluate").manifest or {})["trials"])
    return [rename(score, name) for score in found if score.method == "dilm" or name == "default"]


def rename(score: Score, name: str) -> Score:
    return replace(score, method=name if score.method == "dilm" else f"{score.method}, real rows")


def write_table(found: list[Score], task: str, records: Path) -> None:
    lines = []
    for each, gap in compared(found, "default"):
        lines.append((each.method, each.learner, mean(each), interval(each), ahead(gap)))
    about = f"{task}, 5 per class, test rows, in percent; another seed than the search's."
    write(records / "test", about, ("sets", "learner", "mean", "95 % interval", "ahead of default by"), lines, found)


if __name__ == "__main__":
    main()
