"""Files as tables: columns of cells just as they were written, before anything is known of their meaning."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dilm.data import jsonl
from dilm.errors import DataError


@dataclass(frozen=True)
class Table:
    """Columns of equal length; a missing cell is None."""

    name: str
    """How errors call it: usually the name of its file."""
    columns: Mapping[str, Sequence[Any]]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For columns of class numbers whose names are known: name of class 0, 1, …"""
    first_row: int = 1
    """Number of the first row as its reader sees it: 2 where a header stands above."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def read_table(path: Path) -> Table:
    """Read a CSV, TSV, JSON lines, JSON or Parquet file; raises DataError when it is broken or has no rows."""
    table = READERS[path.suffix.lower()](path)
    if not len(table):
        raise DataError(f"{path.name} has no rows.", "Check that it was written completely, or name another file.")
    return table


def concatenate(tables: Sequence[Table], name: str) -> Table:
    """The rows of all tables, one after the other; a column that a table lacks is missing there."""
    names = dict.fromkeys(column for table in tables for column in table.columns)
    columns = {
        column: [cell for table in tables for cell in table.columns.get(column, [None] * len(table))]
        for column in names
    }
    class_names = {column: labels for table in tables for column, labels in table.class_names.items()}
    return Table(name, columns, class_names, tables[0].first_row)


def csv_cells(path: Path) -> tuple[list[str], list[list[str]], str]:
    """The header, the rows as they are written, and the delimiter. Raises DataError where the file is broken."""
    text = _decode(path.read_bytes(), path.name)
    comma = _delimiter(text.partition("\n")[0]) if path.suffix.lower() == ".csv" else "\t"
    rows = _csv_rows(text, comma, path.name)
    header = [name.strip() for name in rows[0]] if rows else []
    if len(set(header)) < len(header):
        raise DataError(
            f"{path.name} has two columns of one name: {', '.join(header)}.", "Rename one in the first line."
        )
    return header, rows[1:], comma


def json_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of JSON lines, or of a list of JSON. Raises DataError where the file is broken."""
    text = _decode(path.read_bytes(), path.name)
    if path.suffix.lower() != ".json" or not text.lstrip().startswith("["):
        return list(jsonl.rows(text.encode(), path.name))
    try:
        rows = json.loads(text)
    except ValueError as fault:
        raise DataError(
            f"{path.name} is not JSON: {fault}.", "Write a list of objects, or one object per line."
        ) from fault
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(
            f"{path.name} holds something other than objects.", 'Write rows like {"text": "…", "label": "…"}.'
        )
    return rows


def _read_csv(path: Path) -> Table:
    header, rows, _ = csv_cells(path)
    columns = {name: _typed([row[place] for row in rows]) for place, name in enumerate(header)}
    return Table(path.name, columns, first_row=2)


def _csv_rows(text: str, comma: str, name: str) -> list[list[str]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=comma, strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row and rows and len(row) != len(rows[0]):
                raise csv.Error(f"it has {len(row)} cells and the header {len(rows[0])}")
            rows.extend([row] if row else [])
    except csv.Error as fault:
        raise DataError(
            f"Line {reader.line_num} of {name} cannot be read: {fault}.",
            'Quote cells that contain a delimiter, a quote or a line break, and double the quotes inside ("").',
        ) from fault
    return rows


def _delimiter(header: str) -> str:
    """The comma, unless the first line has none and another usual delimiter instead.

    >>> _delimiter("text,label"), _delimiter("text;label"), _delimiter("text")
    (',', ';', ',')
    """
    if "," in header:
        return ","
    return next((mark for mark in (";", "\t") if mark in header), ",")


def _typed(cells: Sequence[str]) -> list[Any]:
    """Cells of a text file: None where empty, numbers where the whole column is numbers, else text.

    >>> _typed(["1", "", "20"]), _typed(["1", "one"]), _typed(["01", "02"]), _typed(["0.5", "1"])
    ([1, None, 20], ['1', 'one'], ['01', '02'], [0.5, 1.0])
    """
    full = [cell.strip() for cell in cells if cell.strip()]
    kinds: Sequence[tuple[Callable[[str], bool], Callable[[str], Any]]] = ((_integer, int), (_decimal, float))
    read = next((read for fits, read in kinds if full and all(map(fits, full))), str)
    return [read(cell) if cell.strip() else None for cell in cells]


def _integer(cell: str) -> bool:
    return cell.isascii() and cell.removeprefix("-").isdigit() and str(int(cell)) == cell


def _decimal(cell: str) -> bool:
    """Whether this is a number with a point, a sign or neither; `01`, `1e5`, `nan` and the like stay text."""
    whole, point, rest = cell.removeprefix("-").partition(".")
    return cell.isascii() and _integer(whole) and (not point or rest.isdigit())


def _read_json(path: Path) -> Table:
    return _from_rows(json_rows(path), path.name)


def _from_rows(rows: Sequence[Mapping[str, Any]], name: str) -> Table:
    names = dict.fromkeys(key for row in rows for key in row)
    return Table(name, {key: [row.get(key) for row in rows] for key in names})


def _read_parquet(path: Path) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as fault:
        raise DataError(
            f"{path.name} is not a Parquet file: {fault}.", "Write it again, or name another file."
        ) from fault
    names: Mapping[str, tuple[str, ...]] = {}
    if b"huggingface" in (table.schema.metadata or {}):
        import datasets

        names = names_of_classes(datasets.Features.from_arrow_schema(table.schema))
    return Table(path.name, {column: table.column(column).to_pylist() for column in table.column_names}, names)


def names_of_classes(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The class names that a `datasets` schema knows, by column."""
    return {column: tuple(kind.names) for column, kind in features.items() if hasattr(kind, "str2int")}


def _decode(content: bytes, name: str) -> str:
    """UTF-8 text, with or without a byte order mark; raises DataError with the place of the first foreign byte."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        guess = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
        raise DataError(
            f"{name} is not UTF-8: byte 0x{content[fault.start]:02x} in line {line}.",
            f"Convert it, for example: iconv -f {guess} -t UTF-8 {name} > utf8-{name}",
        ) from fault


READERS: Mapping[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
"""File ending -> reader."""


def readable(folder: Path) -> list[Path]:
    """The files of a folder whose ending has a reader, in name order."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in READERS)
