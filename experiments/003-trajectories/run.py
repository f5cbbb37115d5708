"""Does a bank of learner lives teach the generator as well as lives that are always new? At the same number of steps.

    .venv/bin/python experiments/003-trajectories/run.py --out runs/trajectories --source trec6

For each seed one generator is fitted; from there it is matched: `cached` (one life for all steps), `renewed` (another
life every ten steps), `fresh` (the paper's regime: the learner is trained on between any two steps); and, cached too,
`fluent` with the likelihood of real text beside the mismatch (`match.lm_lambda`) and `centred` with gradients relative
to the mean feature (`match.centred`). The last step is kept, so no dev score evens them out. Beside them `untuned`: no
matching. Runs continue where they stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from dilm import api, leaderboard
from dilm.build import Bench
from dilm.runs import Run
from dilm.stages.records import scores
from dilm.types import Score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from small_models import SMALL_MODELS  # noqa: E402
from tables import ahead, compared, interval, mean, write  # noqa: E402

ARMS = {
    "fresh": {"match.trajectory": "fresh"},
    "renewed": {"match.trajectory": "cached", "match.renew_every": 10},
    "cached": {"match.trajectory": "cached"},
    "fluent": {"match.trajectory": "cached", "match.lm_lambda": 1.0},
    "centred": {"match.trajectory": "cached", "match.centred": True},
}
SETTINGS = SMALL_MODELS | {
    "match.steps": 60,
    "match.check_every": 0,
    "select.sets": 10,
    "evaluate.baselines": ["random", "untuned"],
}
PER_CLASS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="a folder for all runs")
    parser.add_argument("--source", default="trec6")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    name = Path(given.source).name
    arms = {(seed, arm): given.out / f"{name}-{seed}-{arm}" for seed in range(given.seeds) for arm in ARMS}
    entries = [
        leaderboard.Entry(
            folder, api.recipe_for(given.source, per_class=PER_CLASS, seed=seed, settings=SETTINGS | ARMS[arm])
        )
        for (seed, arm), folder in arms.items()
    ]
    found, seconds = [], {arm: [] for arm in ARMS}
    for (seed, arm), run in zip(arms, leaderboard.run_all(entries), strict=True):
        found += scored(run, arm, seed)
        seconds[arm].append(run.stage("match").manifest["seconds"])
    record(found, seconds, name)


def scored(run: Run, arm: str, seed: int) -> Iterator[Score]:
    """The run's scores, ours under the name of the arm; sets and trainings are told apart between runs."""
    for score in scores(Bench(run), run.stage("evaluate").manifest["trials"]):
        name = arm if score.method == "dilm" else score.method
        if name == arm or arm == "fresh":  # the others are the same in all arms
            yield replace(score, method=name, set=100 * seed + score.set, seed=100 * seed + score.seed)


def record(found: list[Score], seconds: dict[str, list[float]], source: str) -> None:
    """The table and its rows."""
    lines = []
    for each, gap in compared(found, "fresh"):
        spent = f"{median(seconds[each.method]):.0f}" if each.method in seconds else "-"
        lines.append((each.method, mean(each), interval(each), each.sets, spent, ahead(gap)))
    about = f"{source}, {PER_CLASS} per class, {SETTINGS['match.steps']} matching steps, accuracy in percent:"
    names = ("learner's lives", "mean", "95 % interval", "sets", "seconds of matching", "ahead of fresh by")
    write(HERE / source, about, names, lines, found)


if __name__ == "__main__":
    main()
