"""The section of the recipe for personal data in the rows."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe_prompt import DOOR

OFF = "none"
"""The operator with which rows are used as they are."""


@dataclass(frozen=True, config=DOOR)
class Anonymize:
    """Personal data in the rows, replaced before any model sees them. This is not differential privacy."""

    operator: str = OFF
    """What takes the place of a finding: its kind (`replace`), stars (`mask`), letters that tell secrets apart (`hash`)
    or a name that does (`pseudonym`). none: rows are used as they are."""
    kinds: tuple[str, ...] = ()
    """What to look for, such as EMAIL_ADDRESS or PERSON; empty: all that the detectors know. Your own rules always
    count."""
    languages: tuple[str, ...] = ("en",)
    """Languages whose patterns Presidio looks for, two letters each; English ones are always among them. Empty:
    Presidio is not asked."""
    ner: str = ""
    """Model that recognises names: a token classifier by hub id or folder, or `spacy:NAME`. Empty: names are not
    found."""
    threshold: float = 0.4
    """How sure a detector must be, 0 to 1. Below 0.4 Presidio takes most long numbers for something."""
    patterns: str = ""
    """YAML file with rules of your own: patterns, words that are always found, words that never are."""
