"""`python road_to_match.py SOURCE FOLDER GENERATOR LEARNER`: a tiny run as far as match. Run by test_launched."""

from __future__ import annotations

import sys

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


def travel(source: str, folder: str, generator: str, learner: str) -> None:
    """Load, pretrain, fit, match."""
    models = {"generator": generator, "learner": learner}
    run = api.open_run(api.recipe_for(source, **(START | models), settings=SHORT), folder)
    for stage in ("load", "pretrain", "fit", "match"):
        api.run_stage(run, stage)


if __name__ == "__main__":
    travel(*sys.argv[1:])
