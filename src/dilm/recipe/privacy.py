"""The sections of the recipe for what is private in the rows: personal data, whether a row was there, and the audit."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe.prompt import DOOR

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


@dataclass(frozen=True, config=DOOR)
class Privacy:
    """Differential privacy for one row, of generator, texts and distilled set. Scores are not covered."""

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
    noise: str = "keyed"
    """`keyed` by a secret in your cache, so that a resumed run adds the same noise; `secure`: by a
    cipher under keys that nobody keeps, safe against the gaps between floats, and a kill costs budget."""
