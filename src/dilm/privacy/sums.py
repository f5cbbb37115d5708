"""Hashes of files: noted when they are finished, and compared with what is there later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 20


@dataclass(frozen=True)
class Fault:
    """What is wrong with one file, in one word and for its reader."""

    path: str
    what: str
    """`changed`, `missing`, `additional`, or what else is wrong."""


def file_sum(file: Path) -> str:
    """SHA-256 of a file, read piece by piece, however large it is."""
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while block := handle.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Path below `folder` to hash, for every file that `names` are or hold; what is not there is left out."""
    files = sorted({file for name in names for file in below(folder / name)})
    return {file.relative_to(folder).as_posix(): file_sum(file) for file in files}


def below(path: Path) -> Iterator[Path]:
    """The file itself, or all files in a folder. A link counts as a file: where it leads to is not walked into."""
    if path.is_symlink() or path.is_file():
        yield path
    elif path.is_dir():
        for inner in path.iterdir():
            yield from below(inner)


def compare(folder: Path, noted: Mapping[str, str], found: Iterable[str]) -> list[Fault]:
    """Every file that is not as it was noted; `found` are the files that are there now, as paths below `folder`."""
    present = set(found)
    return [
        *(Fault(name, "missing") for name in sorted(noted.keys() - present)),
        *(Fault(name, "changed") for name in sorted(noted.keys() & present) if _differs(folder / name, noted[name])),
        *(Fault(name, "additional") for name in sorted(present - noted.keys())),
    ]


def _differs(file: Path, noted: str) -> bool:
    return file.is_symlink() or file_sum(file) != noted
