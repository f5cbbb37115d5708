"""How time and memory grow with rows, classes, examples per class and text length.

    .venv/bin/python benchmarks/growth.py --json

Points and texts are drawn at random, so that any size can be had; models have random weights. By rows: `load` reads a
CSV file, carves dev and test and takes a fingerprint; `encode` reads texts with a two-layer encoder from scratch, up to
16,000 of them; the others select 10 per class of two from points that are there. By classes and examples per class:
selections among 16,000 rows. By tokens: 32 texts of that length, the learner's head gradients, the generator's
likelihoods, and these with their gradients. Every other stage has a fixed number of steps, whatever the rows.

For each part and axis, at every size: seconds, the least of three where the first took under twenty, and megabytes in a
run of its own. Megabytes of a part that uses torch are the most that the process held (on a GPU, what torch held there)
less what it held before; of the others the most that numpy's arrays and Python's objects took beyond the input. The
exponent is the largest between neighbouring sizes: 1 is linear. Times below a twentieth of a second are left out of it.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import gauges
import numpy as np
import output
import torch

from dilm.coresets.facility_location import FacilityLocation
from dilm.coresets.farthest_first import FarthestFirst
from dilm.coresets.herding import Herding
from dilm.coresets.kmeans_nearest import KMeansNearest
from dilm.coresets.moderate import Moderate
from dilm.coresets.typical import Typical
from dilm.data.load import Limits, load
from dilm.models import scratch
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.models.encoder import FeatureEncoder
from dilm.numerics.probe import fit_probe
from dilm.protocols import Selector
from dilm.runtime.device import Place
from dilm.types import Dataset, Example, Task

WIDTH = 384
ROWS = (1_000, 4_000, 16_000, 64_000, 400_000)
CLASSES = (2, 8, 30, 77)
PER_CLASS = (1, 10, 50, 200)
TOKENS = (16, 64, 256, 512)
SOME = 16_000
"""Rows that a model reads at most, and of selections by classes and by examples per class."""
QUICK, TIMES = 20.0, 3
"""Seconds below which a part is timed again, and how often in all."""
SURE = 0.05
"""Seconds below which a time says nothing of growth."""


@dataclass(frozen=True)
class Given:
    """An encoder that has the points already."""

    points: np.ndarray

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        return self.points[: len(examples)]


@dataclass(frozen=True)
class Spent:
    size: int
    seconds: float
    megabytes: float


def main() -> None:
    parser = gauges.placed(output.parser(__doc__))
    parser.add_argument("--most", type=int, default=ROWS[-1], help="rows of the largest dataset")
    parser.add_argument("--longest", type=int, default=TOKENS[-1], help="tokens of the longest texts")
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["DILM_PROGRESS"] = "none"
    place = gauges.place(given)
    sizes = [rows for rows in ROWS if rows <= given.most]
    lengths = [tokens for tokens in TOKENS if tokens <= given.longest]
    some = min(SOME, given.most)
    found = {
        "rows": {**by_rows(sizes), **loading(sizes), **encoding(sizes, place)},
        "classes": {name: [selected(name, some, classes, 5) for classes in CLASSES] for name in SELECTORS},
        "per_class": {name: [selected(name, some, 2, each) for each in PER_CLASS] for name in SELECTORS},
        "tokens": by_length(lengths, place),
    }
    axes = {"rows": sizes, "classes": CLASSES, "per_class": PER_CLASS, "tokens": lengths}
    table = {
        axis: {
            part: [Spent(size, *each) for size, each in zip(axes[axis], spent, strict=False)]  # encoding: fewer
            for part, spent in parts.items()
        }
        for axis, parts in found.items()
    }
    output.tell(given, figures(table), told(table))


def by_rows(sizes: Sequence[int]) -> dict[str, list[tuple[float, float]]]:
    """Selections of 10 per class, of two."""
    return {name: [selected(name, rows, 2, 10) for rows in sizes] for name in SELECTORS}


def selected(name: str, rows: int, classes: int, per_class: int) -> tuple[float, float]:
    """One selection among so many random rows."""
    task = Task("random", ("text",), tuple(f"class {number}" for number in range(classes)))
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    points = rng.standard_normal((rows, WIDTH), dtype=np.float32) + rng.standard_normal((classes, WIDTH))[labels]
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    pool = Dataset(task, [Example((f"row {row}",), int(label)) for row, label in enumerate(labels)])
    selector = SELECTORS[name](Given(points), points, labels)
    return measured(lambda: selector(pool, per_class, np.random.default_rng(1)))


def _typical(encoder: Given, points: np.ndarray, labels: np.ndarray) -> Selector:
    """Its probe was fitted before, as in a run."""
    some = np.random.default_rng(2).permutation(len(points))[:5_000]
    return Typical(encoder, fit_probe(points[some], labels[some]))


SELECTORS: dict[str, Callable[[Given, np.ndarray, np.ndarray], Selector]] = {
    "typical": _typical,
    "kmeans_nearest": lambda encoder, *_: KMeansNearest(encoder),
    "farthest_first": lambda encoder, *_: FarthestFirst(encoder),
    "herding": lambda encoder, *_: Herding(encoder),
    "moderate": lambda encoder, *_: Moderate(encoder),
    "facility_location": lambda encoder, *_: FacilityLocation(encoder),
}


def loading(sizes: Sequence[int]) -> dict[str, list[tuple[float, float]]]:
    """Reading a CSV file, carving dev and test, fingerprints."""
    found = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows.csv"
            lines = (f"text number {row} of many,{row % 2}\n" for row in range(rows))
            file.write_text("text,label\n" + "".join(lines), encoding="utf-8")
            found.append(measured(lambda file=file: load(str(file), limits=Limits(100, 100)).train.fingerprint))
    return {"load": found}


def encoding(sizes: Sequence[int], place: Place) -> dict[str, list[tuple[float, float]]]:
    """Reading so many texts that were never read before."""
    found = []
    for rows in (rows for rows in sizes if rows <= SOME):
        examples = [Example((f"text number {row} of many",), 0) for row in range(rows)]
        tokenizer = scratch.train_tokenizer(["text number of many"], 300, "masked")
        body = scratch.small_bert(tokenizer, scratch.SIZES["mini"], 0).bert

        def read(body=body, tokenizer=tokenizer, examples=examples) -> object:  # type: ignore[no-untyped-def]
            return FeatureEncoder.from_parts(body, tokenizer, place).encode(examples)

        found.append(measured_with_torch(read, place))
    return {"encode": found}


def by_length(lengths: Sequence[int], place: Place) -> dict[str, list[tuple[float, float]]]:
    """32 texts of so many tokens: the learner's head gradients, the generator's likelihoods, a training step of it."""
    task = Task("random", ("text",), ("no", "yes"), max_tokens=510)
    with tempfile.TemporaryDirectory() as folder:
        texts = ["a a a a", "no yes"]  # " a" is one token
        causal, masked = (scratch.train_tokenizer(texts, 300, kind) for kind in ("causal", "masked"))
        scratch.save(scratch.small_gpt2(causal, scratch.SIZES["small"], 0), causal, Path(folder) / "generator")
        scratch.save(scratch.small_bert(masked, scratch.SIZES["small"], 0), masked, Path(folder) / "learner")
        generator = CausalGenerator.open(str(Path(folder) / "generator"), task, place)
        learner = Classifier.open(str(Path(folder) / "learner"), task, place, 512)
    generator.sampling = type(generator.sampling)(max_tokens=510)
    found: dict[str, list[tuple[float, float]]] = {"gradients": [], "nll": [], "nll and backward": []}
    for length in lengths:
        rows = [Example(("a " * (length - 3),), row % 2) for row in range(32)]
        learner.gradients(rows), generator.nll(rows)  # tokens are remembered, as in a run
        read = partial(learner.gradients, rows)
        found["gradients"].append(measured_with_torch(read, place))
        found["nll"].append(measured_with_torch(torch.no_grad()(partial(generator.nll, rows)), place))
        found["nll and backward"].append(measured_with_torch(partial(descended, generator, rows), place))
    return found


def descended(generator: CausalGenerator, rows: Sequence[Example]) -> None:
    """Likelihoods and their gradients, which are not kept."""
    generator.nll(rows).sum().backward()
    generator.model.zero_grad()


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and megabytes of numpy's arrays and Python's objects, the latter in another run: tracing slows."""
    seconds = least_seconds(work, time.perf_counter)
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return seconds, most


def measured_with_torch(work: Callable[[], object], place: Place) -> tuple[float, float]:
    """Seconds, and megabytes that were held beyond what was held before, the latter in another run."""
    return least_seconds(work, gauges.clock(place.device)), gauges.taken_mb(work)


def least_seconds(work: Callable[[], object], now: Callable[[], float]) -> float:
    """Of a few runs where one is quick."""
    first = gauges.seconds(work, now)
    return min([first, *(gauges.seconds(work, now) for _ in range(TIMES - 1 if first < QUICK else 0))])


def exponent(spent: Sequence[Spent]) -> float | None:
    """The steepest growth between neighbouring sizes: 1 is linear."""
    pairs = [(one, two) for one, two in pairwise(spent) if one.seconds >= SURE]
    slopes = [math.log(two.seconds / one.seconds) / math.log(two.size / one.size) for one, two in pairs]
    return round(max(slopes), 2) if slopes else None


def figures(table: dict[str, dict[str, list[Spent]]]) -> dict[str, Any]:
    """By axis and part."""
    return {
        axis: {
            part: {
                "exponent": exponent(spent),
                "sizes": [each.size for each in spent],
                "seconds": [round(each.seconds, 3) for each in spent],
                "megabytes": [round(each.megabytes, 1) for each in spent],
            }
            for part, spent in parts.items()
        }
        for axis, parts in table.items()
    }


def told(table: dict[str, dict[str, list[Spent]]]) -> str:
    """The figures in Markdown, a table for each axis."""
    tables = []
    for axis, parts in table.items():
        sizes = [f"{each.size:,}" for each in max(parts.values(), key=len)]
        rows = []
        for part, spent in parts.items():
            steepest = exponent(spent)
            cells = [f"{each.seconds:.2f} s, {each.megabytes:.0f} MB" for each in spent]
            cells += ["-"] * (len(sizes) - len(cells))
            rows.append([part, *cells, "-" if steepest is None else steepest])
        tables.append(output.table([axis, *sizes, "steepest"], rows))
    return "\n\n".join(tables)


if __name__ == "__main__":
    main()
