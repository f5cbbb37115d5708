"""Canaries: rows that begin like real ones and end as nothing does, half of them put among the rows to be trained on.

A model that knows the end of a canary that was in, and not of one that was out, learnt it by heart. The beginning is a
real text's, so that the canary is not taken for an outlier at once; the end is surprising, so that it can only be known
from having been read (Meeus et al., "The Canary's Echo", 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from dilm.errors import DataError
from dilm.types import Dataset, Example

BEGINNING, END = 4, 6
"""Words of a canary's beginning at most, and of its end."""


@dataclass(frozen=True)
class Canaries:
    """Rows, and which of them are trained on."""

    rows: tuple[Example, ...]
    inside: tuple[bool, ...]
    """By the toss of a fair coin for each, which one run's bound on ε needs."""

    @property
    def inserted(self) -> tuple[Example, ...]:
        return tuple(row for row, inside in zip(self.rows, self.inside, strict=True) if inside)

    @property
    def ends(self) -> tuple[str, ...]:
        """The surprising words of each."""
        return tuple(" ".join(row.texts[0].split()[-END:]) for row in self.rows)


def tosses(count: int, coin: Random) -> tuple[bool, ...]:
    """Which of so many canaries are in."""
    return tuple(coin.random() < 0.5 for _ in range(count))


def draw(train: Dataset, per_class: int, rng: Random, coin: Random) -> Canaries:
    """`per_class` canaries of every class of `train`, about half of them to be inserted; no two have the same end.

    In the first field are the first words of a random row of the class, then words drawn evenly from all different
    ones: frequent words are rare there. Other fields are the row's. Raises DataError where there are too few words.
    """
    vocabulary = sorted({word for row in train for text in row.texts for word in text.split()})
    if len(vocabulary) < 2 * END:
        raise DataError(
            f"Canaries are made of the data's own words, and it has {len(vocabulary)} different ones.",
            "Set audit.canaries to 0.",
        )
    rows, seen = [], set()
    for label in train.task.conditions:
        for _ in range(per_class):
            row = rng.choice(train.of(label).examples)
            end = _new_end(vocabulary, rng, seen)
            begins = row.texts[0].split()[:BEGINNING]
            rows.append(Example((" ".join([*begins, *end]), *row.texts[1:]), label))
    return Canaries(tuple(rows), tosses(len(rows), coin))


def _new_end(vocabulary: list[str], rng: Random, seen: set[tuple[str, ...]]) -> tuple[str, ...]:
    while True:
        end = tuple(rng.choices(vocabulary, k=END))
        if end not in seen:
            seen.add(end)
            return end
