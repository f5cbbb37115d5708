"""Every baseline on three tasks at two sizes, on learners of four kinds. Needs `make experiments` and DILM_DATA.

    .venv/bin/python experiments/002-baselines/run.py --out runs/baselines

Runs continue where they were stopped, and those of one task share what does not depend on the size. Each writes its
record into a folder beside this script; `leaderboard.md` has them all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from dilm import api, leaderboard
from dilm.recipe.rules import SELECTORS

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import minilm  # noqa: E402
from record import record  # noqa: E402
from small_models import SMALL_MODELS  # noqa: E402

TASKS, SIZES = ("sst2", "ag_news", "trec6"), (5, 10)
PUBLISHED = ("sst2",)
"""Tasks for which the authors published sets, 20 of each size; as many are measured as there are of ours."""
CORESETS = [name for name in SELECTORS if name != "raced"]  # which came after these runs, see 004
SETTINGS = SMALL_MODELS | {
    "select.sets": 5,
    "embed.steps": 300,
    "evaluate.full_lr": 1e-3,
    "evaluate.full_steps": 800,
    "evaluate.robust": True,
    "evaluate.baselines": [*CORESETS, "nearest", "untuned", "untuned_random", "tdd", "tdd_text", "full"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="a folder for all runs")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    given = parser.parse_args()
    model = minilm(given.out)
    settings = SETTINGS | {"models.encoder": model, "evaluate.learners": ["same", f"frozen:{model}", "tfidf"]}

    suite = leaderboard.Suite(tuple(given.tasks), SIZES, settings)
    entries = leaderboard.entries(
        suite, given.out, lambda task, size: api.recipe_for(task, per_class=size, settings=settings)
    )
    finished = []
    for run in leaderboard.run_all(entries):
        if run.recipe.data.source in PUBLISHED:
            published = Path(os.environ["DILM_DATA"]) / "published_dilm" / f"{run.recipe.data.source}.parquet"
            api.evaluate(run.folder, also={"published": str(published)})
            api.report(run.folder)
        record(run.folder, HERE / run.folder.name)
        finished.append(run)
    _, table = leaderboard.write(finished, given.out)
    shutil.copy(table, HERE / "leaderboard.md")


if __name__ == "__main__":
    main()
