"""The sections of the recipe for what is private in the rows: personal data, and whether a row was there at all."""

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
class Privacy:
    """Differential privacy of what is released: the generator, its texts, the distilled set. Scores are not covered."""

    epsilon: float = 0.0
    """Budget of the whole run for one train row more or less; 0: no differential privacy."""
    delta: float = 0.0
    """Chance beyond epsilon, below 1 / train rows; 0: auto, train rows ** -1.2."""
    accountant: str = "prv"
    """How mechanisms are added up: `prv` (tight, numerical, an upper bound within 0.01) or `rdp` (looser)."""
    clip: float = 1.0
    """fit: longest gradient of the generator that one row may give."""
    target: float = 0.3
    """match: share of epsilon that the teachers' gradients may take; fit has what composition leaves."""
    target_clip: float = 1.0
    """match: longest gradient of the learner's head that one row may give."""
    trajectory: str = "none"
    """match: what the learner grows up on: `none` (it stays untrained: match.ages is 1) or `synthetic` texts that the
    fitted generator writes."""
    trains: str = "body"
    """fit: `all` weights of the generator, or its `body`: all but the vocabulary's, which are half of a small model and
    would mostly learn noise."""
    user: str = ""
    """Column that says whose row it is, to protect all rows of a user together. Not built: the unit is the row."""
    noise: str = "keyed"
    """`keyed` by a secret in your cache, so that a resumed run adds the same noise; `secure`: from the system's own
    generator through Opacus, which takes torchcsprng, and a kill costs budget."""
