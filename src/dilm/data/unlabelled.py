"""Unlabelled text of a domain: found, read, and told apart by its content."""

from __future__ import annotations

import os
from pathlib import Path

from dilm.data.tables import READERS, Table, read_table
from dilm.errors import DataError, did_you_mean
from dilm.numerics.words import split_sentences
from dilm.runtime.hashing import file_key

TEXT = ".txt"
COLUMN = "text"
FORMS = f"Name a text file with a text on each line, a table ({', '.join(READERS)}), or NAME/SPLIT below DILM_DATA."
FEWEST_CHARACTERS = 10
"""Of a sentence: what is shorter is a heading or a rest."""


def corpus_file(name: str) -> Path:
    """The file that a corpus is read from: a path, or `imdb/unlabelled` below DILM_DATA. Raises DataError."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    home = os.environ.get("DILM_DATA", "")
    below = [Path(home, f"{name}{ending}") for ending in ("", TEXT, *READERS)] if home else []
    found = next((file for file in below if file.is_file()), None)
    if found is None:
        folder = Path(home, name).parent if home else path.parent
        beside = [f"{Path(name).parent}/{file.stem}" for file in folder.glob("*") if file.suffix in (TEXT, *READERS)]
        raise DataError(f"There is no corpus {name!r}.", f"{did_you_mean(name, sorted(beside))} {FORMS}".strip())
    return found


def content_key(name: str) -> str:
    """SHA-256 of the corpus's file."""
    return file_key(corpus_file(name))


def read_unlabelled(name: str, column: str = "", unit: str = "text") -> list[str]:
    """The different texts of a corpus in their order, or its sentences; blank ones are left out. Raises DataError."""
    file = corpus_file(name)
    if file.suffix.lower() in READERS:
        texts = _cells(read_table(file), column)
    else:
        try:
            texts = file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as fault:
            raise DataError(f"{file.name} is no text in UTF-8.", FORMS) from fault
    if unit == "sentence":
        texts = [sentence for text in texts for sentence in sentences(text)]
    found = list(dict.fromkeys(" ".join(text.split()) for text in texts if text.strip()))
    if not found:
        raise DataError(f"{file.name} holds no text.", FORMS)
    return found


def sentences(text: str) -> list[str]:
    """Its sentences, without what is too short to be one."""
    return [part for part in split_sentences(text) if len(part) >= FEWEST_CHARACTERS]


def _cells(table: Table, column: str) -> list[str]:
    names = list(table.columns)
    wanted = column or (COLUMN if COLUMN in names else names[0] if len(names) == 1 else "")
    if wanted not in names:
        problem = (
            f"{table.name} has no column {column!r}." if column else f"Several columns of {table.name} may be text."
        )
        raise DataError(problem, f"Name one in corpus.column. {did_you_mean(column, names, 'Columns')}")
    cells = [cell for cell in table.columns[wanted] if isinstance(cell, str)]
    if not cells:
        raise DataError(f"Column {wanted!r} of {table.name} holds no text.", did_you_mean(wanted, names, "Columns"))
    return cells
