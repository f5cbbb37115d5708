"""Few-shot prompts from a task's template: labelled demonstrations, then a query that ends where a label belongs."""

from __future__ import annotations

import string
from collections.abc import Iterable
from itertools import zip_longest

from dilm.errors import DataError
from dilm.runtime.seeding import python_stream
from dilm.types import Dataset, Example, Task

BETWEEN = "\n\n"
"""What parts one demonstration from the next."""
HOLE = "{label}"


def demonstration(task: Task, example: Example) -> str:
    """One example with its class name, or its target, in the task's template; text from data is never read as one."""
    if task.writes:
        return f"{task.question(example.texts)} {example.texts[-1]}"
    return _filled(task, _template(task), example.texts, task.labels[example.label])


def query(task: Task, texts: tuple[str, ...]) -> str:
    """The texts in the template up to where the label or target belongs, without space at the end."""
    if task.writes:
        return task.question(texts)
    return _filled(task, _before(task).rstrip(), texts, "").rstrip()


def answers(task: Task) -> list[str]:
    """What each class would put behind a query: its name after the space that the template has there.

    >>> answers(Task("films", ("text",), ("bad", "good"), prompt="Review: {text}\\nSentiment: {label}"))
    [' bad', ' good']
    """
    before = _before(task)
    space = before[len(before.rstrip()) :]
    return [space + label for label in task.labels]


def few_shot(task: Task, shown: Iterable[Example], texts: tuple[str, ...]) -> str:
    """Demonstrations in the order given, then the query."""
    return BETWEEN.join([*(demonstration(task, example) for example in shown), query(task, texts)])


def rounds(rows: Dataset, seed: int) -> list[list[Example]]:
    """All rows in the order of a seed, as rounds with one row of each class; a class with fewer rows ends earlier.

    Rows are shuffled within their class, and classes within a round, so that none is always the last before the query.
    """
    rng = python_stream(seed, "demonstrations")
    classes = [list(rows.of(label)) for label in rows.task.conditions]
    for several in classes:
        rng.shuffle(several)
    turns = [[example for example in turn if example is not None] for turn in zip_longest(*classes)]
    for turn in turns:
        rng.shuffle(turn)
    return turns


def _template(task: Task) -> str:
    lines = [*(f"{name}: {{{name}}}" for name in task.fields), f"label: {HOLE}"]
    return (task.prompt or "\n".join(lines)).strip()


def _before(task: Task) -> str:
    """The template up to its label. Raises DataError where the model would have to know what comes behind."""
    before, hole, after = _template(task).partition(HOLE)
    if not hole or any(name is not None for _, name, _, _ in string.Formatter().parse(after)):
        raise DataError(
            f"The prompt of task {task.name} must name every field, and {HOLE} once, behind them.",
            f"For example: {task.fields[0]}: {{{task.fields[0]}}} label: {HOLE}.",
        )
    return before


def _filled(task: Task, template: str, texts: tuple[str, ...], label: str) -> str:
    return template.format_map(dict(zip(task.fields, texts, strict=True)) | {"label": label})
