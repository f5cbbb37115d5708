"""Public text that models can be made from instead of the data."""

from __future__ import annotations

from pathlib import Path

from dilm.data import toy
from dilm.errors import DataError
from dilm.runtime.hashing import file_key
from dilm.runtime.seeding import derive

GRAMMAR = "toy"
TEXTS = 2000
"""That the grammar writes."""


def read_corpus(name: str) -> list[str]:
    """One text for each line of a file that is not blank; `toy`: texts of the built-in grammar, none of them the
    task's own draws. Raises DataError."""
    if name == GRAMMAR:
        return [example.texts[0] for example in toy.sentences(TEXTS, derive(0, "corpus"))]
    try:
        lines = Path(name).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{name!r} is no text file that can be read.", "Name one with a text on each line.") from fault
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise DataError(f"{name!r} holds no text.", "Name a file with a text on each line.")
    return texts


def corpus_key(name: str) -> str:
    """What tells the content of two corpora apart."""
    file = Path(name).expanduser()
    return file_key(file) if name != GRAMMAR and file.is_file() else name
