"""Hashes of files: noted when they are finished, and compared with what is there later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dilm.runtime.hashing import file_key


@dataclass(frozen=True)
class Fault:
    """What is wrong with one file, in one word and for its reader."""

    path: str
    what: str
    """`changed`, `missing`, `additional`, or what else is wrong."""


def sums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Path below `folder` to hash, for every file that `names` are or hold; what is not there is left out."""
    files = sorted({file for name in names for file in below(folder / name)})
    return {file.relative_to(folder).as_posix(): file_key(file) for file in files}


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
    return file.is_symlink() or file_key(file) != noted
