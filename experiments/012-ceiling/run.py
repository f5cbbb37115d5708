"""How good could a set be? Sets that were chosen by the very test rows they are scored on: a bound, not a method.

    .venv/bin/python experiments/012-ceiling/run.py RUN --learners first-3:MODEL frozen:MODEL tfidf

RUN is a finished run (of 004, say), whose pools and encoder are used; MODEL is a hub id or folder. `searched` sets are
those that quick learners (two heads on the encoder's features, one on words) make most of on all test rows, found by
swaps; `best of N` has, of N sets that the run's way of choosing draws, the one on which the first learner has the best
mean test score over some trainings, and is trained anew with other seeds. Nothing of this may be used to choose a set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np

from dilm import api
from dilm.build import Bench
from dilm.coresets.validated import Validated
from dilm.journal import OWN_CODE
from dilm.recipe import book
from dilm.runtime.seeding import numpy_stream
from dilm.stages.choosing import Told, selector
from dilm.stages.dev_scores import dev_jobs, dev_scores
from dilm.stages.generate import pool
from dilm.stages.jobs import Job
from dilm.types import Dataset, Score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tables import ahead, compared, interval, mean, write  # noqa: E402

CHOSEN = "chosen as the run does"
SWAPS = 2000
DRAWS = 24
"""Sets of which the best is kept."""
LUCK = 2
"""Trainings on each of them; the winner is trained as often again, with other seeds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--learners", nargs="+", required=True)
    parser.add_argument("--sizes", nargs="+", type=int, default=[5, 20])
    parser.add_argument("--sets", type=int, default=3)
    parser.add_argument("--swaps", type=int, default=SWAPS)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--records", type=Path, default=HERE, help="where tables and records are written")
    given = parser.parse_args()
    source = Path(api.existing_run(given.run).recipe.data.source).name
    for size in given.sizes:
        bench = bench_of(given.run, size, given.learners)
        found = list(searched(bench, given.sets, given.swaps)) + list(best_of(bench, given.draws))
        lines = [(s.method, s.learner, mean(s), interval(s), ahead(gap)) for s, gap in compared(found, CHOSEN)]
        about = f"{source}, {size} per class, test rows, in percent. `searched` and `best` saw the test rows."
        write(given.records / f"{source}-{size}", about, ("sets", "learner", "mean", "95 %", "ahead by"), lines, found)


def bench_of(run: Path, size: int, learners: Sequence[str]) -> Bench:
    """The finished run, as if sets of this size were asked of it for these learners."""
    found = api.existing_run(run)
    recipe = book.override(found.recipe, {"per_class": size, "evaluate.learners": list(learners)})
    return Bench(replace(found, recipe=recipe), OWN_CODE)


def searched(bench: Bench, sets: int, swaps: int) -> Iterator[Score]:
    """Scores of sets found by test rows, and of those chosen as the run does, from its pools and from real rows."""
    arms: dict[str, list[Dataset]] = {}
    for number in range(sets):
        for kind, rows in (("texts", pool(bench, "dilm", number)), ("real rows", bench.splits.train)):
            own = "" if kind == "texts" else f", {kind}"
            rng = numpy_stream(bench.recipe.seed, "ceiling", kind, number)
            arms.setdefault(f"{CHOSEN}{own}", []).append(draw(bench, rows, rng))
            arms.setdefault(f"searched{own}", []).append(search(bench, rows, swaps, rng))
    return tested(bench, dev_jobs(bench, arms, bench.splits.test))


def draw(bench: Bench, rows: Dataset, rng: np.random.Generator) -> Dataset:
    """A set as the run's own method chooses it."""
    select = selector(bench, bench.recipe.select.method, Told())
    return select(rows, bench.recipe.per_class, rng).apply(rows)


def search(bench: Bench, rows: Dataset, swaps: int, rng: np.random.Generator) -> Dataset:
    """The set that quick learners make most of on all test rows, which both guide the search and end it."""
    twice = Dataset(bench.task, [*bench.splits.test, *bench.splits.test])
    select = Validated(bench.encoder, bench.selector("kmeans_nearest"), twice, swaps=swaps)
    return select(rows, bench.recipe.per_class, rng).apply(rows)


def best_of(bench: Bench, draws: int) -> Iterator[Score]:
    """Scores of the luckiest of many sets of the first pool: those that chose it, and those of other trainings."""
    rows, rng = pool(bench, "dilm", 0), numpy_stream(bench.recipe.seed, "ceiling", "draws")
    sets = [draw(bench, rows, rng) for _ in range(draws)]
    first = with_one_learner(bench)
    jobs = dev_jobs(first, {f"all {draws} draws": sets}, bench.splits.test)
    scores = list(tested(first, [with_seed(job, job.trial.seed % LUCK) for job in jobs]))
    worth = [fmean(score.value for score in scores if score.set == number) for number in range(draws)]
    winner = max(range(draws), key=worth.__getitem__)
    yield from scores
    yield from (replace(s, method=f"best of {draws}, as it was chosen") for s in scores if s.set == winner)
    jobs = dev_jobs(first, {f"best of {draws}, trained anew": [sets[winner]]}, bench.splits.test)
    yield from tested(first, [with_seed(job, job.trial.seed + LUCK) for job in jobs])


def with_one_learner(bench: Bench) -> Bench:
    """The bench with its first learner alone, trained a few times on each set."""
    one = {"evaluate.learners": list(bench.recipe.evaluate.learners[:1]), "evaluate.seeds": LUCK}
    return Bench(replace(bench.run, recipe=book.override(bench.recipe, one)), OWN_CODE)


def with_seed(job: Job, seed: int) -> Job:
    return replace(job, trial=replace(job.trial, seed=seed))


def tested(bench: Bench, jobs: list[Job]) -> Iterator[Score]:
    """Scores of trainings that were set up as for dev rows, on test rows."""
    return (replace(score, split="test") for score in dev_scores(bench, jobs))


if __name__ == "__main__":
    main()
