"""Secrets that were found somewhere, to be found everywhere: also where a detector overlooked them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dilm.types import Span

START = 3
"""Characters by which a secret is looked up; what is shorter is left to the detectors."""
LONG = 6
"""A text of so many characters with a digit or an @ is a secret inside longer words too; a name is one as a word."""
IDENTIFIER = re.compile(r"[\d@]")
WORD = re.compile(r"\w")


class Known:
    """Found secrets, in memory alone. Of two kinds that one secret was taken for, the surest and first counts."""

    def __init__(self) -> None:
        self._kinds: dict[str, Span] = {}
        self._named: dict[str, str] = {}
        self._starts: dict[str, list[str]] = {}

    def learn(self, text: str, spans: Iterable[Span]) -> None:
        """Remember what stands at these places of a text."""
        for span in spans:
            secret = text[span.start : span.end]
            before = self._kinds.get(secret)
            if before is None and len(secret) >= START:
                self._starts.setdefault(secret[:START], []).append(secret)
            if before is None or span.score > before.score:
                self._kinds[secret] = span

    def kind(self, secret: str, otherwise: str) -> str:
        """One kind for a secret, whatever it is taken for here; what was once said is not taken back."""
        told = self._kinds[secret].kind if secret in self._kinds else otherwise
        return self._named.setdefault(secret, told)

    def spans(self, text: str) -> list[Span]:
        """Where a known secret stands in a text."""
        return [
            Span(at, at + len(secret), self._kinds[secret].kind, self._kinds[secret].score)
            for at in range(len(text) - START + 1)
            for secret in self._starts.get(text[at : at + START], ())
            if text.startswith(secret, at) and _counts(text, at, secret)
        ]


def _counts(text: str, at: int, secret: str) -> bool:
    """Whether this is the secret, and not a few letters of another word."""
    if len(secret) >= LONG and IDENTIFIER.search(secret):
        return True
    before, after = text[at - 1 : at], text[at + len(secret) : at + len(secret) + 1]
    return not (WORD.match(before) and WORD.match(secret[0])) and not (WORD.match(after) and WORD.match(secret[-1]))
