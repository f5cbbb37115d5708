"""How should a linear head read a pair? A few random pairs, read in different ways, scored on dev rows.

    make experiments
    export DILM_DATA=...   # the folder with qqp, mnli, ag_news
    .venv/bin/python experiments/014-pairs/run.py --out runs/pairs

Two tasks ask how two texts relate. The third does not: each of AG News' texts is cut in two, and both parts tell the
class. No test row is read. Takes ten minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from dilm.coresets.random import Random
from dilm.data.load import Limits, load
from dilm.models.encoder import CachedEncoder, FeatureEncoder
from dilm.models.field_words import FieldWords
from dilm.models.linear import FrozenFeatures, WordCounts
from dilm.models.pairs import PairEncoder
from dilm.numerics.metrics import accuracy
from dilm.protocols import Encoder, Student
from dilm.runtime.device import choose
from dilm.runtime.seeding import numpy_stream
from dilm.types import Dataset, Example, Score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import minilm, wordllama  # noqa: E402
from tables import ahead, compared, mean, write  # noqa: E402

TASKS = ("qqp", "mnli", "ag_news")
SIZES = (5, 10, 20)
SETS = 20
LIMITS = Limits(dev_rows=1000, train_rows=2500)
BASES = {"MiniLM-L6": "MiniLM-L6, both in one", "WordLlama": "WordLlama, both in one", "words": "words of each"}
HEAD = 12
"""Words of a cut text's first part."""


@dataclass(frozen=True)
class Reading:
    """Pairs by what a function makes of the points of both texts."""

    encoder: Encoder
    difference: float
    """How much the difference counts beside the two points; 0: not at all."""

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        """[n, 3 d], each row of length 1."""
        left, right = (self.encoder.encode([Example((row.texts[side],), 0) for row in examples]) for side in (0, 1))
        found = np.hstack([left, right, self.difference * np.abs(left - right)])
        return found / np.linalg.norm(found, axis=1, keepdims=True)


class Unshared:
    """Word counts of each field, and nothing of the words that both have."""

    def train_on(self, rows: Dataset, seed: int) -> None:
        """Forget what was learnt before."""
        self.words = FieldWords(rows)
        self.head = LogisticRegression(max_iter=1000).fit(self.words.count(rows), rows.labels)

    def predict(self, examples: Sequence[Example]) -> list[int]:
        """Most likely class of each."""
        return self.head.predict(self.words.count(examples)).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="a folder for links to the models")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--records", type=Path, default=HERE, help="where tables and records are written")
    given = parser.parse_args()
    for task in given.tasks:
        splits = load(task, limits=LIMITS)
        train, dev = (rows if len(rows.task.fields) == 2 else cut(rows) for rows in (splits.train, splits.dev))
        found = [score for name, read in ways(given.out, train).items() for score in scores(name, read, train, dev)]
        about = (
            f"{task}, {len(dev)} dev rows, accuracy in percent, {SETS} sets of random rows of each size and all "
            f"{len(train)} at once, and how far ahead of both texts in one."
        )
        sizes = [f"{size} per class" for size in SIZES]
        write(given.records / task, about, ("pairs are read as", *sizes, "all rows"), lines(found), found)


def lines(found: list[Score]) -> Iterator[tuple[str, ...]]:
    """One for each reading, with a cell for each number of rows; compared with the same model's plain reading."""
    for kind, base in BASES.items():
        known = [score for score in found if score.method.startswith(kind)]
        cells: dict[str, dict[str, str]] = {}
        for each, gap in compared(known, base):
            cells.setdefault(each.method, {})[each.learner] = f"{mean(each)}, {ahead(gap)}" if gap else mean(each)
        for method in dict.fromkeys(score.method for score in known):
            yield method, *(cells[method][rows] for rows in dict.fromkeys(score.learner for score in known))


def cut(rows: Dataset) -> Dataset:
    """Each text as its first words and the others."""
    words = [row.texts[0].split() for row in rows]
    task = replace(rows.task, fields=("head", "rest"))
    parts = [(" ".join(each[:HEAD]), " ".join(each[HEAD:])) for each in words]
    return Dataset(task, [replace(row, texts=texts) for row, texts in zip(rows, parts, strict=True)])


def ways(out: Path, rows: Dataset) -> Mapping[str, Student]:
    """Of reading pairs, by name."""
    found: dict[str, Student] = {}
    for model in (minilm(out), wordllama(out)):
        name, reader = Path(model).name, FeatureEncoder.open(model, choose(), rows.task.max_tokens)
        alone = CachedEncoder(reader)
        found |= {
            f"{name}, both in one": FrozenFeatures(CachedEncoder(reader)),
            f"{name}, side by side": FrozenFeatures(Reading(alone, 0)),
            f"{name}, and their difference": FrozenFeatures(Reading(alone, 1)),
            f"{name}, difference counted twice": FrozenFeatures(Reading(alone, 2)),
            f"{name}, and their product (as dilm does)": FrozenFeatures(PairEncoder(alone)),
        }
    return found | {
        "words of each": Unshared(),
        "words of each, and shares of both (as dilm does)": WordCounts(),
    }


def scores(name: str, student: Student, train: Dataset, dev: Dataset) -> Iterator[Score]:
    """Of the same random sets in every reading, and of all rows."""
    sets = [
        (f"{size} per class", size, number, Random()(train, size, numpy_stream(0, "pairs", size, number)).apply(train))
        for size in SIZES
        for number in range(SETS)
    ]
    for rows_are, size, number, rows in [*sets, ("all", 0, 0, train)]:
        begun = time.perf_counter()
        student.train_on(rows, 0)
        right = accuracy(student.predict(dev), dev.labels)
        seconds = time.perf_counter() - begun
        yield Score(name, rows_are, size, number, 0, right, right, None, len(rows), seconds, split="dev")


if __name__ == "__main__":
    main()
