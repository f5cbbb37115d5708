"""How long should a generator be fitted, and how many texts should a step have? Told by dev rows.

    .venv/bin/python experiments/016-fit/run.py --out runs/fit --task sst2 --arms 64x300 64x1200 16x1200 16x1200@5e-4

Needs `make experiments` and DILM_DATA. An arm is texts in a step x steps, and a learning rate where it is not the one
that `--lr` names; each is fitted several times, from seeds of their own, to the same rows. Every fit writes pools,
`typical` chooses a set of each, and three linear heads learn from it: on MiniLM-L6, on frozen word vectors
(WordLlama), on word counts. Beside them stand what dev rows cost the generator in nats a token, how many of them are
likeliest under their own class, and the seconds of a fit. A fit goes to its end: where rows are few, the best weights
on the way are those that dev rows chose, as ever. Runs continue where they were stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from dilm import api, runs
from dilm.build import Bench
from dilm.evaluation.statistics import paired
from dilm.journal import OWN_CODE
from dilm.runs import Run
from dilm.runtime.seeding import numpy_stream
from dilm.stages.dev_scores import dev_jobs, dev_scores
from dilm.stages.select import synthetic_sets
from dilm.types import Score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import NAME, minilm, wordllama  # noqa: E402
from tables import PERCENT, ahead, write  # noqa: E402

MINILM = "minilm"
OURS = "dilm"
WALK = api.STAGES[: api.STAGES.index("select") + 1]
SETTINGS: dict[str, Any] = {
    "data.seed": 0,
    "data.dev_rows": 700,
    "fit.patience": 1000,
    "match.steps": 0,
    "select.sets": 4,
    "evaluate.baselines": [],
}
CHECKS = 12
"""Measurements of dev rows on the way, so that the best weights are looked for as often in every arm."""


@dataclass(frozen=True)
class Arm:
    """Texts in a step, steps, and the learning rate; 0: the one of all arms.

    >>> Arm.read("64x300"), Arm.read("16x1200@5e-4").name
    (Arm(batch=64, steps=300, lr=0.0), '16 x 1200 at 0.0005')
    """

    batch: int
    steps: int
    lr: float = 0.0

    @classmethod
    def read(cls, told: str) -> Arm:
        length, _, rate = told.partition("@")
        batch, steps = map(int, length.split("x"))
        return cls(batch, steps, float(rate or 0))

    @property
    def name(self) -> str:
        return f"{self.batch} x {self.steps}" + (f" at {self.lr:g}" if self.lr else "")

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "fit.batch": self.batch,
            "fit.steps": self.steps,
            "fit.check_every": max(1, self.steps // CHECKS),
        } | ({"fit.lr": self.lr} if self.lr else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="a folder for all runs")
    parser.add_argument("--task", default="sst2")
    parser.add_argument("--generator", default="scratch:mini", help=f"`{MINILM}`: MiniLM-L6, opened as a decoder")
    parser.add_argument("--arms", nargs="+", type=Arm.read, required=True, metavar="TEXTSxSTEPS")
    parser.add_argument("--fits", type=int, default=3, help="of each arm")
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.0, help="else the library's own")
    parser.add_argument("--records", type=Path, default=HERE, help="where tables and records are written")
    given = parser.parse_args()
    finished = {arm: [walked(given, arm, number) for number in range(given.fits)] for arm in given.arms}
    found = [score for arm, each in finished.items() for score in scores(arm, each)]
    generator = NAME if given.generator == MINILM else given.generator.replace(":", "-")
    rows = len(Bench(finished[given.arms[0]][0], OWN_CODE).splits.train)
    about = (
        f"{given.task}, {rows:,} train rows, {generator}, {given.per_class} per class, dev rows, accuracy in percent, "
        f"{given.fits} fits with {SETTINGS['select.sets']} sets each, three linear heads."
    )
    names = (
        "texts x steps",
        "texts read",
        "seconds of a fit",
        "nats a token",
        "told apart",
        "all heads",
        "ahead of the first by",
        "MiniLM-L6",
        "word vectors",
        "word counts",
    )
    write(given.records / f"{given.task}-{generator}", about, names, list(lines(finished, found)), found)


def walked(given: argparse.Namespace, arm: Arm, number: int) -> Run:
    """A run as far as its sets."""
    model = minilm(given.out)
    learners = [f"frozen:{model}", f"frozen:{wordllama(given.out)}", "tfidf"]
    settings = SETTINGS | {"models.encoder": model, "evaluate.learners": learners}
    settings |= ({"fit.lr": given.lr} if given.lr else {}) | arm.settings
    generator = model if given.generator == MINILM else given.generator
    recipe = api.recipe_for(
        given.task, per_class=given.per_class, seed=number, generator=generator, learner=model, settings=settings
    )
    name = f"{given.task}-{Path(generator).name.replace(':', '-')}-{arm.name.replace(' ', '-')}-{number}"
    run = runs.create(given.out / name, recipe, resume=True)
    for stage in WALK:
        api.run_stage(run, stage)
    return run


def scores(arm: Arm, finished: list[Run]) -> Iterator[Score]:
    """Of all sets; what one fit wrote is one draw, its sets are repetitions of it."""
    for number, run in enumerate(finished):
        bench = Bench(run, OWN_CODE)
        sets = {arm.name: synthetic_sets(bench)[OURS]}
        for score in dev_scores(bench, dev_jobs(bench, sets, bench.splits.dev)):
            yield replace(score, set=number, seed=score.set)


def lines(finished: dict[Arm, list[Run]], found: list[Score]) -> Iterator[tuple[str, ...]]:
    """One for each arm."""
    learners, base = dict.fromkeys(score.learner for score in found), next(iter(finished)).name
    for arm, each in finished.items():
        facts = [run.stage("fit").manifest or {} for run in each]
        means = [fmean(s.value for s in found if (s.method, s.learner) == (arm.name, name)) for name in learners]
        gap = paired(found, arm.name, base, numpy_stream(0, arm.name)) if arm.name != base else None
        nll, known = (fmean(fact[name] for fact in facts) for name in ("dev_nll", "told_apart"))
        seconds = min(fact["seconds"] for fact in facts)
        told = (f"{arm.batch * arm.steps:,}", f"{seconds:,.0f}", f"{nll:.2f}", PERCENT.number(known))
        yield arm.name, *told, PERCENT.number(fmean(means)), ahead(gap), *map(PERCENT.number, means)


if __name__ == "__main__":
    main()
