"""JSON lines: one object per line, in UTF-8. Files appear whole or not at all; a log survives being killed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dilm.errors import DataError
from dilm.types import Dataset, Example, Task


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write all rows at once: readers see the old file or the new one, never half of it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two processes may write the same at once
    with part.open("wb") as handle:
        handle.writelines(map(_line, rows))
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(part, path)


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add one row, on disk when this returns. What a killed writer left of its last line is removed first."""
    with path.open("ab+") as handle:
        _mend(handle)
        handle.write(_line(row))
        handle.flush()
        os.fsync(handle.fileno())


def read(path: Path) -> list[dict[str, Any]]:
    """All rows; an unfinished last line, left by a killed writer, is ignored.

    Raises DataError with the line number of any other line that is not a JSON object.
    """
    whole, _, last = path.read_bytes().rpartition(b"\n")
    return list(rows(whole + (b"\n" + last if _is_json(last) else b""), path.name))


def rows(content: bytes, name: str) -> Iterator[dict[str, Any]]:
    """The objects of JSON lines, blank lines left out; `name` is how errors call the file."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as fault:
            raise DataError(
                f"Line {number} of {name} is not JSON: {fault}.", "Write one JSON object per line."
            ) from fault
        if not isinstance(row, dict):
            raise DataError(
                f"Line {number} of {name} is not a JSON object.", 'Write rows like {"text": "…", "label": "…"}.'
            )
        yield row


def write_dataset(path: Path, dataset: Dataset) -> None:
    """Write a dataset as rows `{field: text, …, "label": class name}`."""
    task = dataset.task
    write(
        path, ({**dict(zip(task.fields, row.texts, strict=True)), "label": task.labels[row.label]} for row in dataset)
    )


def read_dataset(path: Path, task: Task) -> Dataset:
    """Read what `write_dataset` wrote; raises DataError where a row does not fit the task."""
    return Dataset(task, (_example(row, number, path, task) for number, row in enumerate(read(path), start=1)))


def _example(row: Mapping[str, Any], number: int, path: Path, task: Task) -> Example:
    texts = tuple(row.get(field) for field in task.fields)
    if not all(isinstance(text, str) for text in texts) or row.get("label") not in task.labels:
        raise DataError(
            f"Row {number} of {path.name} does not fit task {task.name}: expected texts {', '.join(task.fields)} and a "
            f"label among {', '.join(task.labels)}, found {json.dumps(row, ensure_ascii=False)[:200]}.",
            "Use the file with the task that it was made for.",
        )
    return Example(texts, task.labels.index(row["label"]))  # type: ignore[arg-type]


def _line(row: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can say it
        return json.dumps(row).encode() + b"\n"


def _mend(handle: Any) -> None:
    """Make the file end after its last whole line."""
    handle.seek(0)
    content = handle.read()
    last = content[content.rfind(b"\n") + 1 :]
    if _is_json(last):
        handle.write(b"\n")
    elif last:
        handle.truncate(len(content) - len(last))


def _is_json(line: bytes) -> bool:
    """Whether a line is complete: a cut object never is."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
