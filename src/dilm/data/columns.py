"""From a table to a dataset: which columns are meant, whether every cell can be used, what the classes are called."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dilm.data.tables import Table
from dilm.errors import DataError, did_you_mean
from dilm.types import Dataset, Example, Task

LABEL_NAMES = ("label", "labels", "class", "target", "category", "sentiment", "stars", "rating", "y")
"""What people call the column with the answer."""

UNKNOWN_CLASS = "-1"
"""What hub datasets write where the class is kept secret."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Roles:
    """Which columns hold the texts, in reading order, and which one the class."""

    texts: tuple[str, ...]
    label: str
    """Empty: the task has one class for all rows, which stands in no column."""
    user: str = ""
    """Whose a row is; of each user one row is taken. Empty: all rows are."""

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that must be in the file, but for the user's."""
        return (*self.texts, self.label) if self.label else self.texts


def choose(table: Table, texts: Sequence[str], label: str | None) -> Roles:
    """The columns that the user named, or the only ones that can be meant; raises DataError where several can."""
    label = label or _guess_label(table)
    _check_present(table, (*texts, label))
    roles = Roles(tuple(texts) or (_guess_text(table, label),), label)
    if label in roles.texts or len(set(roles.texts)) < len(roles.texts):
        named = f"texts {', '.join(roles.texts)}, label {label}"
        raise DataError(f"A column has two roles: {named}.", "Name each column once.")
    if "label" in roles.texts:
        raise DataError("A text column is called label, which is what dilm calls the class.", "Rename that column.")
    return roles


def to_dataset(table: Table, roles: Roles, task: Task, drop_empty: bool) -> Dataset:
    """The rows of a table as examples; raises DataError where a cell is empty or no text, or a class is unknown."""
    _check_present(table, roles.read)
    _check_text(table, roles.texts)
    texts = list(zip(*(table.columns[column] for column in roles.texts), strict=True))
    names = class_cells(table, roles.label) if roles.label else [*task.labels] * len(table)
    usable = [row for row, name in enumerate(names) if name is not None and all(map(_is_text, texts[row]))]
    if len(usable) < len(names):
        _report_empty(table, roles, sorted(set(range(len(names))) - set(usable)), drop_empty)
    usable = one_of_each(table, roles, usable) if roles.user else usable
    places: dict[str | None, int] = {name: place for place, name in enumerate(task.labels)}
    if unknown := {str(names[row]) for row in usable if names[row] not in places}:
        raise DataError(
            f"{table.name} has {_quoted(unknown)} in column {roles.label!r}, which is no class of the train split.",
            f"Correct or remove those rows. Classes: {', '.join(task.labels[:30])}.",
        )
    return Dataset(task, (Example(tuple(map(str.strip, texts[row])), places[names[row]]) for row in usable))


def one_of_each(table: Table, roles: Roles, rows: Sequence[int]) -> list[int]:
    """Of these rows, one of each user, in their order. Raises DataError where it is not known whose a row is.

    Which one follows from hashes of this user's rows alone: what others wrote does not change it, so that a user more
    or less is a row more or less.
    """
    _check_present(table, [roles.user])
    owners, read = table.columns[roles.user], [table.columns[column] for column in roles.read]
    if missing := [row for row in rows if owners[row] is None or not str(owners[row]).strip()]:
        raise DataError(
            f"Row {missing[0] + table.first_row} of {table.name} has nothing in column {roles.user!r}"
            f"{f', nor have {len(missing) - 1} others' if len(missing) > 1 else ''}: whose is it?",
            "Fill the cells, or name another column in data.user.",
        )
    first: dict[str, tuple[bytes, int]] = {}
    for row in rows:
        owner = str(owners[row]).strip()
        place = (hashlib.sha256(repr([owner, *(cells[row] for cells in read)]).encode()).digest(), row)
        first[owner] = min(place, first.get(owner, place))
    return sorted(row for _, row in first.values())


def class_cells(table: Table, label: str) -> list[str | None]:
    """The class name of every row, None where it is missing; numbers become text, `3.0` like `3`."""
    cells = [_plain(cell, table, label) for cell in table.columns[label]]
    if label not in table.class_names:
        return cells
    named = {str(number): name for number, name in enumerate(table.class_names[label])}
    return [None if cell in (None, UNKNOWN_CLASS) else named.get(cell, cell) for cell in cells]


def class_names(table: Table, label: str) -> tuple[str, ...]:
    """The classes that occur: in the order of the schema if it names them, else by number, else by alphabet."""
    found = {name for name in class_cells(table, label) if name is not None}
    if label in table.class_names:
        return tuple(name for name in table.class_names[label] if name in found)
    try:
        return tuple(sorted(sorted(found), key=float))
    except ValueError:
        return tuple(sorted(found))


def is_labelled(table: Table, label: str) -> bool:
    """Whether a split has answers: hub test splits often have the column but -1 or nothing in it."""
    answers = class_cells(table, label) if label in table.columns else []
    return len(set(answers) - {None, UNKNOWN_CLASS}) > 1


def _check_present(table: Table, columns: Iterable[str]) -> None:
    for column in columns:
        if column not in table.columns:
            raise DataError(f"{table.name} has no column {column!r}.", did_you_mean(column, table.columns, "Columns"))


def _check_text(table: Table, columns: Iterable[str]) -> None:
    for column in columns:
        if _is_numeric(table.columns[column]):
            raise DataError(
                f"Column {column!r} of {table.name} holds numbers, not text.",
                f"Name another column, or write its numbers as words. {_columns(table)}",
            )


def _guess_label(table: Table) -> str:
    found = [column for column in table.columns if column.lower() in LABEL_NAMES]
    if len(found) == 1:
        return found[0]
    problem = f"Several columns of {table.name} could be" if found else f"No column of {table.name} is called like"
    raise DataError(f"{problem} the label.", f"Name it with --label. {_columns(table)}")


def _guess_text(table: Table, label: str) -> str:
    found = [column for column, cells in table.columns.items() if column != label and any(map(_is_text, cells))]
    found = [column for column in found if not _is_numeric(table.columns[column])]
    if len(found) == 1:
        return found[0]
    problem = f"Several columns of {table.name} hold text" if found else f"No column of {table.name} holds text"
    raise DataError(f"{problem}.", f"Name the one to learn from with --text, twice for pairs. {_columns(table)}")


def _report_empty(table: Table, roles: Roles, rows: Sequence[int], drop_empty: bool) -> None:
    first = ", ".join(str(row + table.first_row) for row in rows[:5])
    problem = f"{len(rows)} of {len(table)} rows of {table.name} have an empty or non-text cell"
    where = f"(columns {', '.join(roles.read)}; row {first}{', …' if len(rows) > 5 else ''})"
    if not drop_empty:
        raise DataError(f"{problem} {where}.", "Fill or remove them, or leave them out with --drop-empty.")
    log.warning("%s %s: left out.", problem, where)


def _plain(cell: Any, table: Table, label: str) -> str | None:
    """A label cell as text, None where it is missing."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)) or not str(cell).strip():
        return None
    if not isinstance(cell, (str, int, float)):
        raise DataError(
            f"Column {label!r} of {table.name} holds {type(cell).__name__} cells; one class per row is needed.",
            "Choose another column with --label, or keep one class per row.",
        )
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _is_text(cell: Any) -> bool:
    return isinstance(cell, str) and bool(cell.strip())


def _is_numeric(cells: Iterable[Any]) -> bool:
    full = [cell for cell in cells if cell is not None]
    return bool(full) and all(isinstance(cell, (int, float)) for cell in full)


def _columns(table: Table) -> str:
    """What the columns hold, for an error: `Columns: id (numbers), review (text).`"""
    kinds = ((column, "numbers" if _is_numeric(cells) else "text") for column, cells in table.columns.items())
    return f"Columns: {', '.join(f'{column} ({kind})' for column, kind in kinds)}."


def _quoted(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(map(repr, islice(listed, 5))) + (", …" if len(listed) > 5 else "")
