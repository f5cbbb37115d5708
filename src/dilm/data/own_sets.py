"""Sets of the user's own, or another paper's, to be measured in the same trials."""

from __future__ import annotations

from pathlib import Path

from dilm.data.sources import read_file
from dilm.errors import DataError
from dilm.types import Dataset, Example, Task


def read_sets(path: Path, task: Task, per_class: int) -> list[Dataset]:
    """The sets in a file that has the task's text columns and `label` (class names or numbers).

    A column `set` tells several sets apart; a column `per_class` tells sizes apart, of which only `per_class` is read.
    Raises DataError where a column, the size or a class is missing.
    """
    columns = read_file(path).columns
    missing = [name for name in (*task.fields, "label") if name not in columns]
    if missing:
        raise DataError(
            f"{path.name} has no column {missing[0]!r}; it has {', '.join(columns)}.",
            f"A set needs {', '.join(task.fields)} and label.",
        )
    count = len(columns["label"])
    sizes = columns.get("per_class", [per_class] * count)
    names = columns.get("set", [0] * count)
    sets: dict[str, list[Example]] = {}
    for row in range(count):
        if int(sizes[row]) == per_class:
            texts = tuple(str(columns[name][row]) for name in task.fields)
            sets.setdefault(str(names[row]), []).append(Example(texts, _label(columns["label"][row], task, path)))
    if not sets:
        raise DataError(f"{path.name} has no set with per_class {per_class}.", "Evaluate it in a run of its own size.")
    return [Dataset(task, examples) for examples in sets.values()]


def _label(cell: object, task: Task, path: Path) -> int:
    """A class name, or failing that a class number."""
    name = str(cell)
    if name in task.labels:
        return task.labels.index(name)
    if name.isdigit() and int(name) < len(task.labels):
        return int(name)
    raise DataError(f"{path.name} has the label {name!r}, which is none of {', '.join(task.labels)}.", "Rename it.")
