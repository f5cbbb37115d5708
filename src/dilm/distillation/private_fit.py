"""Language-model training whose every step sees rows that coins drew, and tells nothing but the weights.

What makes a step private is the updater that it is given; here is what that one takes for granted: a row's loss depends
on that row alone, and each row is drawn on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from dilm.distillation.fit import Lessons, lesson, under_another_class
from dilm.protocols import Generator, Updater
from dilm.runtime.seeding import python_stream
from dilm.types import Example

Draw = Callable[[int], Sequence[int]]
"""Step -> the rows that it shows; none is possible."""


def fit_privately(generator: Generator, lessons: Lessons, update: Updater, draw: Draw, steps: range) -> Iterator[int]:
    """Train on class-conditional texts; yields each step's number, for its loss would be a release of its own."""
    for step in steps:
        update.on(losses_at(generator, lessons, step), shown(lessons, draw(step)))
        yield step


def shown(lessons: Lessons, drawn: Sequence[int]) -> list[Example]:
    """The rows that were drawn, those of like length side by side."""
    return sorted((lessons.train[row] for row in drawn), key=lambda row: row.characters)


def losses_at(generator: Generator, lessons: Lessons, step: int) -> Callable[[Sequence[Example]], Tensor]:
    """What each row is learnt by at a step: n rows -> [n]."""

    def losses(rows: Sequence[Example]) -> Tensor:
        others = [another(row, len(lessons.train.task.labels), lessons.seed, step) for row in rows]
        return lesson(generator, rows, others, lessons.contrast)[1]

    return losses


def another(row: Example, classes: int, seed: int, step: int) -> Example:
    """The same text under another class, drawn for this text: other rows of the batch have no say in it."""
    return under_another_class([row], classes, python_stream(seed, "contrast", step, *row.texts))[0]
