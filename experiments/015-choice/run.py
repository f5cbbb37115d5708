"""Which way of choosing from the same pools teaches most? By learners that take seconds, on dev rows.

    .venv/bin/python experiments/015-choice/run.py RUN RUN ... --packed 1 4
    .venv/bin/python experiments/015-choice/run.py RUN --packed 4 --pools 500 1000 2000 --ways "distribution matching"

Each RUN is a finished run of 004 or 013, whose pools and encoder are used. Three learners train linear heads: on the
run's encoder, on frozen word vectors (WordLlama), on word counts. `real rows` are chosen from halves of the train
rows, drawn anew for each set, so that methods without chance give several sets, too. With `--pools` texts alone are
asked, the first so many of a class in each pool: what do larger ones bring, in the mean and in the spread over sets?
With `--taught N` whoever asks how sure a teacher is also asks a second one: the learner, fine-tuned for N steps on all
train rows, which the user's cache keeps.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from dilm import api
from dilm.build import Bench
from dilm.coresets.filtered import Filtered
from dilm.coresets.filters import Surest, Teacher
from dilm.coresets.packed import Packed, join
from dilm.evaluation.statistics import paired
from dilm.journal import OWN_CODE
from dilm.models.linear import FrozenFeatures, WordCounts
from dilm.numerics.metrics import accuracy
from dilm.protocols import Selector, Student
from dilm.reading import open_encoder
from dilm.recipe import book
from dilm.runtime.seeding import numpy_stream, python_stream
from dilm.stages.generate import pool
from dilm.types import Dataset, Score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import wordllama  # noqa: E402
from tables import PERCENT, ahead, write  # noqa: E402

BASE = "typical"
WAYS: dict[str, tuple[str, float]] = {
    "random": ("random", 1),
    BASE: ("typical", 1),
    "k-centers": ("kmeans_nearest", 1),
    "herding": ("herding", 1),
    "herding, the surest 0.3": ("herding", 0.3),
    "distribution matching": ("distribution_matching", 1),
    "distribution matching, the surest 0.5": ("distribution_matching", 0.5),
    "distribution matching, the surest 0.3": ("distribution_matching", 0.3),
    "distribution matching, the surest 0.2": ("distribution_matching", 0.2),
    "distribution matching, the surest 0.1": ("distribution_matching", 0.1),
    "distribution matching, the surest 0.05": ("distribution_matching", 0.05),
}
"""As they are named in tables: the method, and the share of each class that it chooses from."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=5, help="examples of a class")
    parser.add_argument("--packed", nargs="+", type=int, default=[1], help="texts in an example")
    parser.add_argument("--sets", type=int, default=8)
    parser.add_argument("--records", type=Path, default=HERE, help="where tables and records are written")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--pools", nargs="+", type=int, help="texts of a class that are chosen from, instead of all")
    parser.add_argument("--taught", type=int, default=0, help="steps of a fine-tuned teacher, beside the probe")
    parser.add_argument("--name", default="", help="of the table and record, behind task and size")
    given = parser.parse_args()
    for folder in given.runs:
        run = api.existing_run(folder)
        task = run.recipe.data.source
        found = [score for packed in given.packed for score in scores(folder, packed, given)]
        about = f"{task}, {given.size} per class, dev rows, accuracy in percent, {given.sets} sets, three linear heads."
        names = (
            "chosen from",
            "texts in an example",
            "way",
            "all learners",
            "spread over sets",
            f"ahead of {'the first' if given.pools else BASE} by",
            "encoder",
            "word vectors",
            "word counts",
        )
        name = f"{task}-{given.size}{'-pools' if given.pools else ''}{given.name and f'-{given.name}'}"
        write(given.records / name, about, names, list(lines(found, given.pools or [])), found)


def scores(folder: Path, packed: int, given: argparse.Namespace) -> Iterator[Score]:
    """Of all ways asked for, from the run's pools and from real rows, or from pools of several sizes."""
    run = api.existing_run(folder)
    taught = {"evaluate.full_steps": given.taught} if given.taught else {}
    bench = Bench(replace(run, recipe=book.override(run.recipe, taught)), OWN_CODE)
    learners, teachers = students(bench, folder.parent), {"": bench.teacher("probe")}
    if given.taught:
        teachers[", taught"] = remembered(bench.teacher("learner"))
    for kind, rows in candidates(bench, given.sets, given.pools):
        for name, choose in selectors(bench, given.ways, teachers):
            select = Packed(choose, packed)
            for number, each in enumerate(rows):
                chosen = select(each, given.size, numpy_stream(0, "choice", number)).apply(each)
                yield from measured(f"{kind}|{packed}|{name}", number, join(chosen, packed), learners, bench.splits.dev)


def remembered(teacher: Teacher) -> Teacher:
    """Who is asked once about the same rows."""
    known: dict[str, np.ndarray] = {}

    def told(rows: Dataset) -> np.ndarray:
        if rows.fingerprint not in known:
            known[rows.fingerprint] = teacher(rows)
        return known[rows.fingerprint]

    return told


def selectors(bench: Bench, ways: list[str], teachers: dict[str, Teacher]) -> Iterator[tuple[str, Selector | Filtered]]:
    """By name; where somebody is to be sure, one for each teacher."""
    for name in ways:
        method, share = WAYS[name]
        plain = bench.selector(method)
        if share == 1:
            yield name, plain
        for who, teacher in teachers.items() if share < 1 else ():
            yield f"{name}{who}", Filtered({"sure": Surest(teacher, share)}, plain)


def candidates(bench: Bench, sets: int, sizes: list[int] | None) -> Iterator[tuple[str, list[Dataset]]]:
    """What sets are chosen from, one each: the run's pools, or so many texts of a class in them; and real rows."""
    pools = [pool(bench, "dilm", number) for number in range(sets)]
    if sizes:
        yield from ((f"{size} texts", [first(each, size) for each in pools]) for size in sizes)
    else:
        yield "texts", pools
        yield "real rows", [half(bench.splits.train, number) for number in range(sets)]


def first(rows: Dataset, count: int) -> Dataset:
    """So many of each class, as they stand."""
    return rows.take([place for label in rows.task.conditions for place in rows.where(label)[:count]])


def students(bench: Bench, beside: Path) -> dict[str, Student]:
    """By name."""
    longer = replace(bench.task, max_tokens=4 * bench.task.max_tokens)
    folder = bench.model_folder(bench.recipe.models.encoder or bench.recipe.models.learner, "learner")
    read = {
        name: open_encoder(model, longer, bench.place)
        for name, model in (("encoder", folder), ("word vectors", wordllama(beside)))
    }
    return {name: FrozenFeatures(encoder) for name, encoder in read.items()} | {"word counts": WordCounts()}


def half(rows: Dataset, number: int) -> Dataset:
    """Of the rows, drawn."""
    return rows.sample(len(rows) // 2, python_stream(0, "choice", number))


def measured(method: str, number: int, rows: Dataset, learners: dict[str, Student], dev: Dataset) -> Iterator[Score]:
    """Each learner, trained once."""
    for name, student in learners.items():
        begun = time.perf_counter()
        student.train_on(rows, 0)
        right = accuracy(student.predict(dev), dev.labels)
        seconds = time.perf_counter() - begun
        yield Score(method, name, min(rows.counts), number, 0, right, right, None, len(rows), seconds, split="dev")


def lines(found: list[Score], pools: list[int]) -> Iterator[tuple[str, ...]]:
    """One for each way, compared with the base from the same rows; or for each size, with the first of the same way;
    of one size alone with the first way."""
    learners = dict.fromkeys(score.learner for score in found)
    methods = dict.fromkeys(score.method for score in found)
    for method in methods:
        kind, packed, way = method.split("|")
        each = {name: values_of(found, method, name) for name in learners}
        wanted = [packed, way] if len(pools) > 1 else [packed]
        first_alike = next(other for other in methods if other.split("|")[1:][: len(wanted)] == wanted)
        base = first_alike if pools else f"{kind}|{packed}|{BASE}"
        gap = paired(found, method, base, numpy_stream(0, method)) if method != base else None
        spread = fmean(map(stdev, each.values()))
        means = [fmean(values) for values in each.values()]
        yield kind, packed, way, *map(PERCENT.number, (fmean(means), spread)), ahead(gap), *map(PERCENT.number, means)


def values_of(found: list[Score], method: str, learner: str) -> list[float]:
    return [score.value for score in found if (score.method, score.learner) == (method, learner)]


if __name__ == "__main__":
    main()
