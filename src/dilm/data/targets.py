"""Rows whose target is text: input columns, a target column, and a condition where a column names one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dilm.data.columns import Roles, choose, class_names, to_dataset
from dilm.data.sources import Source, read_file
from dilm.data.tables import Table
from dilm.errors import DataError
from dilm.types import GENERATION, Dataset, Example, Task

EVERYTHING = "all"
"""The only condition of rows that are not clustered yet."""


@dataclass(frozen=True)
class Wanted:
    """What the user named of the columns; a task's page fills the gaps."""

    inputs: tuple[str, ...]
    target: str
    condition: str = ""
    """Column of conditions; empty: the rows are to be clustered."""


def read_targets(
    found: Source, wanted: Wanted, test: str | Path | None, drop_empty: bool
) -> tuple[Dataset, Dataset | None]:
    """Train rows, and those to be scored where there are any, their spaces and line ends all alike.

    Raises DataError where a column is missing, empty or has two roles.
    """
    table = found.tables["train"]
    roles = _roles(found, table, wanted)
    train = _rows(table, roles, _task(found, table, roles, wanted), drop_empty)
    scored = _scored(found, roles, test)
    return train, _rows(scored, roles, train.task, drop_empty) if scored else None


def _roles(found: Source, table: Table, wanted: Wanted) -> Roles:
    page = found.page
    target = wanted.target or (page.target if page else "")
    inputs = wanted.inputs or (page.fields[:-1] if page and target == page.target else ())
    if target in inputs:
        raise DataError(f"Column {target!r} is both input and target.", "Name the input with --text alone.")
    if wanted.condition in (target, *inputs):
        raise DataError(
            f"Column {wanted.condition!r} has two roles: the condition (--label), and a text to read or to write.",
            "Name another column with --label, or leave it out: rows are then clustered.",
        )
    chosen = choose(_without(table, wanted.condition) if wanted.condition else table, inputs, target)
    return Roles((*chosen.texts, target), wanted.condition)


def _task(found: Source, table: Table, roles: Roles, wanted: Wanted) -> Task:
    page = found.page
    labels = class_names(table, wanted.condition) if wanted.condition else (EVERYTHING,)
    if wanted.condition and len(labels) < 2:
        raise DataError(
            f"Column {wanted.condition!r} has {len(labels)} condition, and two are needed.",
            "Leave --label out: rows are then clustered.",
        )
    known = page if page and roles.texts == page.fields else None
    return Task(
        found.name,
        roles.texts,
        labels,
        "perplexity",
        kind=GENERATION,
        prompt=known.prompt if known else "",
        max_tokens=known.max_tokens if known else 0,
        target=roles.texts[-1],
        answer=known.answer if known else "",
    )


def _rows(table: Table, roles: Roles, task: Task, drop_empty: bool) -> Dataset:
    """Every row of the table; a generator writes no line ends, so real rows have none either."""
    rows = to_dataset(table, roles, task, drop_empty)
    return Dataset(task, (Example(tuple(" ".join(text.split()) for text in row.texts), row.label) for row in rows))


def _scored(found: Source, roles: Roles, test: str | Path | None) -> Table | None:
    """The user's own file, else the source's first split besides train that has targets."""
    if test:
        return read_file(Path(test).expanduser())
    given = (found.tables[split] for split in ("test", "validation") if split in found.tables)
    return next((table for table in given if any(table.columns.get(roles.texts[-1], ()))), None)


def _without(table: Table, column: str) -> Table:
    """A column that conditions is no text to learn from."""
    if column not in table.columns:
        raise DataError(f"{table.name} has no column {column!r}.", f"Columns: {', '.join(table.columns)}.")
    return replace(table, columns={name: cells for name, cells in table.columns.items() if name != column})
