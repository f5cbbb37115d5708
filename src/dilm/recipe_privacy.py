"""The sections of the recipe for personal data in the rows, and for the audit of what is made of them."""

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


@dataclass(frozen=True, config=DOOR)
class Audit:
    """Looking for leaks: what the released texts, and the generator behind them, give away of the rows."""

    rows: int = 500
    """Rows of either kind, trained on and held out, that attacks are tried on, and texts of the pool; as many as were
    held out where those are fewer. `dilm audit --full` takes all that were held out."""
    held_out: str = "dev"
    """Rows that nothing was trained on: `dev`, carved from train at random, `test`, or both. The more, the surer. Where
    the source has a test split of its own, its rows may differ from train rows in more, which looks like a leak."""
    min_k: float = 0.2
    """Share of a text's tokens, those that surprise the generator most, by which min-k % judges it."""
    span: int = 6
    """Words in a row which, where one real row alone has them, disclose it."""
    canaries: int = 0
    """Canaries of each class: made-up rows, about half of which are put among the train rows; what the generator knows
    of those bounds ε from below. They cost a little accuracy; a few hundred in all tell something. 0: none."""
    delta: float = 1e-5
    """δ of that bound."""
