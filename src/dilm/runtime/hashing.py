"""Content keys: equal content, equal key."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

BLOCK = 1 << 20
"""Bytes of a file that are read at a time."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def key(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value.

    >>> key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def folder_key(folder: Path) -> str:
    """SHA-256 over the names and bytes of the files of a folder (a local model), in name order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        _feed(digest, path)
    return digest.hexdigest()


def file_key(file: Path) -> str:
    """SHA-256 of a file's bytes, read piece by piece, however large it is."""
    digest = hashlib.sha256()
    _feed(digest, file)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, file: Path) -> None:
    with file.open("rb") as handle:
        while block := handle.read(BLOCK):
            digest.update(block)
