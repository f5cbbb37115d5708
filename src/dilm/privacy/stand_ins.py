"""What takes the place of a secret: one stand-in for one secret, wherever it stands in a dataset.

A stand-in has a form of its own, in angle brackets or stars, and no detector is asked about it again. So what was
anonymized once is not changed by a second time, and fake addresses, which a detector could not tell from real ones,
are none of the operators.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Iterable

SALT_BYTES = 32
LETTERS = "abcdefghijklmnop"
"""A hexadecimal digit as a letter: a hash without digits is never taken for a number."""
HASH_LETTERS = 16
CONSONANTS, VOWELS = "bdfgklmnprstv", "aeiou"
SYLLABLES = 4
"""Of each of the two words of a pseudonym."""
NUMBERS = ("CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER")
"""Kinds that are written with and without spaces, hyphens and brackets, and mean the same."""


def replaced(kind: str, secret: str, digest: bytes) -> str:
    """The kind alone: all secrets of a kind look alike."""
    return f"<{kind}>"


def masked(kind: str, secret: str, digest: bytes) -> str:
    """A star for every character, spaces and line breaks left: the length can still be read off."""
    return re.sub(r"\S", "*", secret)


def hashed(kind: str, secret: str, digest: bytes) -> str:
    """The kind and 16 letters that nobody can compute without the salt."""
    return f"<{kind}:{''.join(LETTERS[half] for byte in digest[: HASH_LETTERS // 2] for half in divmod(byte, 16))}>"


def pseudonym(kind: str, secret: str, digest: bytes) -> str:
    """The kind and a name that can be spoken, as secret as a hash: `<PERSON:Tabemiko Sovaluri>`."""
    syllables = [
        CONSONANTS[consonant % len(CONSONANTS)] + VOWELS[vowel % len(VOWELS)]
        for consonant, vowel in zip(digest[: 4 * SYLLABLES : 2], digest[1 : 4 * SYLLABLES : 2], strict=True)
    ]
    first, last = ("".join(part).capitalize() for part in (syllables[:SYLLABLES], syllables[SYLLABLES:]))
    return f"<{kind}:{first} {last}>"


OPERATORS: dict[str, Callable[[str, str, bytes], str]] = {
    "replace": replaced,
    "mask": masked,
    "hash": hashed,
    "pseudonym": pseudonym,
}
TELLING_APART = ("hash", "pseudonym")
"""Operators that give different secrets different stand-ins, and so need a salt."""


class StandIns:
    """The stand-in of every secret; with `hash` and `pseudonym` no two secrets share one."""

    def __init__(self, operator: str, salt: bytes) -> None:
        self.operator = operator
        self.salt = salt
        self._owners: dict[str, str] = {}

    def of(self, kind: str, secret: str) -> str:
        """The same for the same secret, however it is spaced or capitalised."""
        meant, make, attempt = meaning(kind, secret), OPERATORS[self.operator], 0
        while True:
            message = f"{kind}\0{meant}\0{attempt}".encode("utf-8", "surrogatepass")
            found = make(kind, secret, hmac.digest(self.salt, message, hashlib.sha256))
            if self.operator not in TELLING_APART or self._owners.setdefault(found, f"{kind}\0{meant}") == (
                f"{kind}\0{meant}"
            ):
                return found
            attempt += 1  # two secrets met in a digest, which is rare, or in a test


def meaning(kind: str, secret: str) -> str:
    """What makes two writings one secret: letters whatever their case and form, numbers whatever their spacing.

    >>> meaning("PHONE_NUMBER", "(212) 555-0199") == meaning("PHONE_NUMBER", "212 555 0199")
    True
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", secret).casefold())
    return re.sub(r"[\W_]", "", plain) if kind in NUMBERS else " ".join(plain.split())


def form(operator: str, kinds: Iterable[str]) -> re.Pattern[str]:
    """What a stand-in of this operator looks like; only of known kinds, so that no secret can pose as one."""
    known = "|".join(sorted(map(re.escape, set(kinds)), key=lambda kind: (-len(kind), kind))) or r"(?!)"
    word = f"(?:[{CONSONANTS}][{VOWELS}]){{{SYLLABLES}}}"
    name = f"(?=[A-Z])(?i:{word}) (?=[A-Z])(?i:{word})"
    made = {
        "replace": f"<(?:{known})>",
        "mask": r"\*+",
        "hash": f"<(?:{known}):[{LETTERS}]{{{HASH_LETTERS}}}>",
        "pseudonym": f"<(?:{known}):{name}>",
    }
    return re.compile(made[operator])
