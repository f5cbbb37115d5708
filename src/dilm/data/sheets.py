"""Files whose cells are changed in place: all else is written as it was read, in the same format."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilm.data import hub
from dilm.data.sources import find, read_file
from dilm.data.tables import READERS, Table, csv_cells, json_rows, readable
from dilm.data.tasks import task_names
from dilm.errors import DataError

Changes = Mapping[tuple[int, str], str]
"""Row, from 0, and column to the new text."""


@dataclass(frozen=True)
class Sheet:
    """One table of a source, and how it is written again."""

    name: str
    """Of its file, below the folder that was read."""
    table: Table
    render: Callable[[Changes], bytes]

    def write(self, path: Path, changes: Changes) -> None:
        """The table with these cells changed: readers see all of it or none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(self.render(changes))
        os.replace(part, path)


def read_sheets(source: str | Path) -> list[Sheet]:
    """A file, each data file of a folder, or each split of a hub id or task, which are written as JSON lines.

    Raises DataError where there is nothing to read.
    """
    path = Path(source).expanduser()
    named = not isinstance(source, Path) and source in task_names()
    if path.is_file() and not named:
        return [_sheet(path, path.name)]
    if path.is_dir() and not named and not hub.is_saved(path):
        files = sorted([*readable(path), *readable(path / "data")])
        if not files:
            raise DataError(f"Folder {path} holds no data files.", f"dilm reads {', '.join(READERS)}.")
        return [_sheet(file, str(file.relative_to(path))) for file in files]
    return [_of_split(split, table) for split, table in find(source).tables.items()]


def _sheet(path: Path, name: str) -> Sheet:
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv"):
        return _csv_sheet(path, name)
    table = read_file(path)
    if ending == ".parquet":
        return Sheet(name, table, lambda changes: _parquet(path, changes))
    rows = json_rows(path)
    whole = ending == ".json" and path.read_bytes().lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    return Sheet(name, table, lambda changes: _json(rows, changes, whole))


def _csv_sheet(path: Path, name: str) -> Sheet:
    """Cells stay texts: `01` and `1.50` are written as they were."""
    header, rows, comma = csv_cells(path)
    if not rows:
        raise DataError(f"{path.name} has no rows.", "Check that it was written completely, or name another file.")
    columns = {column: [row[place] for row in rows] for place, column in enumerate(header)}
    start = path.read_bytes()
    mark = "\ufeff" if start.startswith(b"\xef\xbb\xbf") else ""
    ends = "\r\n" if b"\r\n" in start[: start.find(b"\n") + 1] else "\n"

    def render(changes: Changes) -> bytes:
        new = (
            [changes.get((at, name), row[place]) for place, name in enumerate(header)] for at, row in enumerate(rows)
        )
        return (mark + "".join(_csv_line(row, comma) + ends for row in (header, *new))).encode("utf-8", "surrogatepass")

    return Sheet(name, Table(path.name, columns, first_row=2), render)


def _csv_line(cells: Sequence[str], comma: str) -> str:
    """One row without its end. The writer only quotes a lone carriage return where it ends lines with one."""
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=comma, lineterminator="\r\n").writerow(cells)
    return written.getvalue().removesuffix("\r\n")


def _of_split(split: str, table: Table) -> Sheet:
    rows = [{column: table.columns[column][at] for column in table.columns} for at in range(len(table))]
    return Sheet(f"{split}.jsonl", table, lambda changes: _json(rows, changes, whole=None))


def _json(rows: Sequence[Mapping[str, Any]], changes: Changes, whole: object) -> bytes:
    """One object per line, or where `whole` a list of them."""
    new = [{name: changes.get((at, name), cell) for name, cell in row.items()} for at, row in enumerate(rows)]
    texts = [json.dumps(row, ensure_ascii=False, default=str) for row in new]
    joined = "[\n" + ",\n".join(texts) + "\n]\n" if whole else "".join(f"{text}\n" for text in texts)
    return joined.encode("utf-8", "surrogatepass")


def _parquet(path: Path, changes: Changes) -> bytes:
    """A column that is changed becomes text, if it was none."""
    import pyarrow
    from pyarrow import parquet

    table = parquet.read_table(path)
    for column in {name for _, name in changes}:
        place = table.column_names.index(column)
        kind = table.schema.field(place).type
        texts = list(_changed(table.column(place).to_pylist(), column, changes))
        kept = kind if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) else pyarrow.string()
        table = table.set_column(place, column, pyarrow.array(texts, kept))
    written = pyarrow.BufferOutputStream()
    parquet.write_table(table, written)
    return written.getvalue().to_pybytes()


def _changed(cells: Sequence[Any], column: str, changes: Changes) -> Iterator[str | None]:
    for at, cell in enumerate(cells):
        yield changes.get((at, column), None if cell is None else str(cell))
