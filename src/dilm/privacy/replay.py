"""Replay of personal data: what detectors find in the released texts, and whether real rows say the very same.

Secrets live in memory alone: only their kinds and counts leave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dilm.numerics.chances import drawn_at_least
from dilm.privacy.pii import Panel
from dilm.privacy.rules import Rules
from dilm.protocols import Detector

SHAPES = Rules(
    {
        "EMAIL_ADDRESS": re.compile(r"[\w.+-]+ ?@ ?[\w-]+(?: ?\. ?[\w-]+)+"),
        "URL": re.compile(r"(?:https?://|www\.)[^\s]+", re.IGNORECASE),
        "IP_ADDRESS": re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"),
        "IBAN_CODE": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
        "LONG_NUMBER": re.compile(r"(?<![\w.])\+?\d(?:[ ()./-]{0,2}\d){6,18}(?![\w])"),
    },
    title="shapes of addresses and numbers",
)
"""A detector that needs no library: the shapes of addresses and of long numbers, telephones and cards among them."""


@dataclass(frozen=True)
class Replay:
    """Different secrets in the released texts, by where they stand in real rows."""

    detectors: tuple[str, ...]
    found: int
    trained: int
    """In rows that were trained on, and in none that was held out."""
    held_out: int
    """In rows that were held out, and in none that was trained on: what chance does."""
    both: int
    kinds: tuple[tuple[str, int], ...]
    """Of those in trained rows alone: kind, count."""
    p: float
    """One-sided, of as many being of trained rows by chance, secret by secret."""


def looking(detectors: Sequence[Detector]) -> Panel:
    """Detectors, where nothing stands for a secret already."""
    return Panel(tuple(detectors), re.compile(r"(?!)"))


def replay(released: Sequence[str], trained: Sequence[str], held_out: Sequence[str], panel: Panel) -> Replay:
    """Look for personal data in the released texts, and for the same characters in real rows, whatever their case.

    The p value is exact for secrets of one row each; of one that many rows share, being in trained rows alone is rarer.
    """
    found = _secrets(released, panel)
    ours, theirs = _known(found, trained), _known(found, held_out)
    only = {secret: kind for secret, kind in found.items() if secret in ours - theirs}
    phantoms = len(theirs - ours)
    kinds = {kind: sum(kind == other for other in only.values()) for kind in sorted(set(only.values()))}
    whole = len(trained) + len(held_out)
    return Replay(
        panel.titles,
        len(found),
        len(only),
        phantoms,
        len(ours & theirs),
        tuple(kinds.items()),
        drawn_at_least(len(only), len(only) + phantoms, len(trained), whole),
    )


def _secrets(texts: Sequence[str], panel: Panel) -> dict[str, str]:
    """What is found, plain, to its kind."""
    return {
        _plain(text[span.start : span.end]): span.kind
        for text, spans in zip(texts, panel.find(texts), strict=True)
        for span in spans
    }


def _known(secrets: Iterable[str], texts: Iterable[str]) -> set[str]:
    """Those that some text has."""
    waiting, found = set(secrets) - {""}, set()
    for text in texts if waiting else ():
        plain = _plain(text)
        here = {secret for secret in waiting if secret in plain}
        found |= here
        waiting -= here
    return found


def _plain(text: str) -> str:
    """Without case and white space, which tokenizers change."""
    return "".join(text.casefold().split())
