"""`python road_to_match.py SOURCE FOLDER GENERATOR LEARNER NAME=VALUE ...`: a tiny run as far as match, begun
or continued. Run by test_launched and test_fsdp."""

from __future__ import annotations

import sys
from pathlib import Path

from tiny_runs import SETTINGS, START

from dilm import api

SHORT = SETTINGS | {
    "data.dev_rows": 30,
    "data.test_rows": 30,
    "fit.steps": 24,
    "fit.check_every": 8,
    "fit.batch": 15,
    "fit.lr": 2e-3,
    "match.lr": 1e-3,
    "match.check_every": 0,
}


def travel(source: str, folder: str, generator: str, learner: str, *said: str) -> None:
    """Load, pretrain, fit, match."""
    models = {"generator": generator, "learner": learner}
    settings = SHORT | dict(each.split("=", 1) for each in said)
    recipe = api.recipe_for(source, **(START | models), settings=settings)
    run = api.open_run(recipe, folder, resume=Path(folder).exists())
    for stage in ("load", "pretrain", "fit", "match"):
        api.run_stage(run, stage)


if __name__ == "__main__":
    travel(*sys.argv[1:])
