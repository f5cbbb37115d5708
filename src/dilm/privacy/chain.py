"""A log that only grows: every line holds the hash of the line before it and its own, so that an edited, removed or
reordered line is found. Whoever can write the file can write a whole new chain: note its head elsewhere.

A killed writer may leave half a line. It is no tampering: the next writer puts it aside and says so in its own line.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dilm.errors import RunError
from dilm.runtime.hashing import canonical

BEGIN = "0" * 64
"""What the first line names as the hash before it."""
PREVIOUS, HASH, TORN = "previous", "hash", "torn_before"
TAIL = 1 << 16
"""Bytes that are looked at first for the last line."""


@dataclass(frozen=True)
class Reading:
    """A whole log: its lines, what is wrong with it, and whether a killed writer left half a line at its end."""

    rows: tuple[dict[str, Any], ...]
    faults: tuple[str, ...]
    torn: bool

    @property
    def head(self) -> str:
        """The hash of the last line."""
        return self.rows[-1].get(HASH, "") if self.rows else BEGIN

    def since(self, head: str) -> int | None:
        """Lines after the one with this hash; None where the chain never had it. The empty chain comes before all."""
        hashes = [BEGIN, *(row.get(HASH) for row in self.rows)]
        return len(hashes) - 1 - hashes.index(head) if head in hashes else None


def append(file: Path, row: Mapping[str, Any], mode: int = 0o600) -> str:
    """Add a line, on disk when this returns; a new file gets `mode`. Returns the line's hash, the new head.

    Only one process at a time may append: the caller holds the lock. Raises RunError where the last line is damaged.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(file, flags, mode), "r+b") as handle:
        last, torn = _last_line(handle, file)
        previous = last[HASH] if last else BEGIN
        linked = {**row, **({TORN: torn} if torn else {}), PREVIOUS: previous}
        line = {**linked, HASH: link(linked)}
        handle.write(_line(line))
        handle.flush()
        os.fsync(handle.fileno())
    return line[HASH]


def read(file: Path) -> Reading:
    """Every line, checked; an unfinished last line counts as torn, not as a fault."""
    lines = file.read_bytes().split(b"\n")
    unfinished = lines.pop()
    if unfinished and _row(unfinished) is not None:  # only its line end is missing
        lines, unfinished = [*lines, unfinished], b""
    rows, faults, previous = [], [], BEGIN
    for number, line in enumerate(lines, start=1):
        row = _row(line)
        if row is None:
            faults.append(f"line {number} is no entry")
            previous = ""
            continue
        faults += [f"line {number} {fault}" for fault in _faults(row, line, previous)]
        previous = row.get(HASH, "")
        rows.append(row)
    return Reading(tuple(rows), tuple(faults), bool(unfinished))


def link(row: Mapping[str, Any]) -> str:
    """The hash of a line, over all that it says, the hash of the line before it included.

    >>> link({"previous": BEGIN, "act": "x"}) == link({"act": "x", "previous": BEGIN, "hash": "any"})
    True
    """
    said = {name: value for name, value in row.items() if name != HASH}
    return hashlib.sha256(canonical(said).encode("utf-8", "surrogatepass")).hexdigest()


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _faults(row: Mapping[str, Any], line: bytes, previous: str) -> list[str]:
    """A line is checked byte by byte, so that nobody hides anything in it beside what it says."""
    same = row.get(HASH) == link(row) and _line(row) == line + b"\n"
    found = [] if same else ["was edited: its hash is of another text"]
    if row.get(PREVIOUS) != previous and previous:
        found.append("does not follow the line before it: lines were removed, added or moved")
    return found


def _last_line(handle: BinaryIO, file: Path) -> tuple[dict[str, Any] | None, int]:
    """The last whole line, and how many bytes of a torn one were cut off behind it; what is written next follows it."""
    content = _tail(handle)
    size = handle.seek(0, os.SEEK_END)
    if _row(content.rpartition(b"\n")[2]) is not None:  # only its line end is missing
        handle.write(b"\n")
        content, size = content + b"\n", size + 1
    whole, line_end, torn = content.rpartition(b"\n")
    if torn:
        handle.truncate(size - len(torn))
        handle.seek(0, os.SEEK_END)
    row = _row(whole.rpartition(b"\n")[2])
    if line_end and (row is None or not isinstance(row.get(HASH), str)):
        raise RunError(f"The last entry of {file} is damaged.", "See `dilm verify`, and restore the file.")
    return row, len(torn)


def _tail(handle: BinaryIO) -> bytes:
    """The end of the file, with a whole line in it where there is one."""
    size, reach = handle.seek(0, os.SEEK_END), TAIL
    while True:
        handle.seek(max(size - reach, 0))
        content = handle.read()
        if reach >= size or content.count(b"\n") > 1:
            return content
        reach *= 2


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
