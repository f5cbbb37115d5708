"""Detectors of the user's own, from a YAML file: patterns, words that are always found, words that never are.

They stand in a file and not in the recipe because the words may be secrets themselves, and recipes are published.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dilm.errors import RecipeError, did_you_mean
from dilm.types import Span

PARTS = ("patterns", "deny", "allow")
KIND = re.compile(r"[A-Z][A-Z0-9_]*")
DENIED = "DENIED"
"""The kind of denied words that are listed without one."""
EXAMPLE = "Write for example `patterns: {CUSTOMER: 'C-[0-9]{6}'}`, `deny: [a name]`, `allow: [info@our-firm.com]`."


@dataclass(frozen=True)
class Rules:
    """What a file of rules says; its patterns and denied words are a detector."""

    patterns: Mapping[str, re.Pattern[str]]
    """Kind to what it looks like, denied words among them."""
    allowed: re.Pattern[str] | None = None
    """What is never personal data."""
    title: str = "your own rules"

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self.patterns)

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Every match of every pattern: n texts -> n lists."""
        return [
            [Span(*found.span(), kind) for kind, pattern in self.patterns.items() for found in pattern.finditer(text)]
            for text in texts
        ]


def read_rules(path: Path) -> Rules:
    """The rules in a YAML file. Raises RecipeError, which names the place and never the words."""
    tree = _parse(path)
    if unknown := set(tree) - set(PARTS):
        name = str(sorted(map(str, unknown))[0])
        raise RecipeError(f"{path.name} has a part {name!r}.", did_you_mean(name, PARTS, "Parts"))
    allowed = _words(path, "allow", tree.get("allow") or [])
    denied = _denied(path, tree.get("deny") or [])
    contradictions = {_plain(word) for word in allowed} & {_plain(word) for words in denied.values() for word in words}
    if contradictions:
        raise RecipeError(
            f"{path.name} both allows and denies {len(contradictions)} of its words.", "Take them out of one list."
        )
    shapes = {kind: _expressions(path, kind, given) for kind, given in _named(path, tree.get("patterns") or {}).items()}
    for kind, words in denied.items():
        shapes[kind] = [*shapes.get(kind, []), *([any_of(words)] if words else [])]
    patterns = {kind: re.compile("|".join(f"(?:{each})" for each in found)) for kind, found in shapes.items() if found}
    return Rules(patterns, re.compile(any_of(allowed)) if allowed else None)


def written_rules(path: Path) -> bytes:
    """The file as it is. Raises RecipeError where there is none."""
    try:
        return path.read_bytes()
    except OSError as fault:
        raise RecipeError(f"There is no file of rules {str(path)!r}.", "Correct anonymize.patterns.") from fault


def any_of(words: Iterable[str]) -> str:
    """An expression for whole words, whatever their case, their spacing and the way their accents are written."""
    forms = {unicodedata.normalize(way, word) for word in words for way in ("NFC", "NFD", "NFKC")}
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    flexible = (r"\s+".join(map(re.escape, form.split())) for form in longest_first)
    return rf"(?i:(?<!\w)(?:{'|'.join(flexible)})(?!\w))"


def _parse(path: Path) -> dict[Any, Any]:
    try:
        tree = yaml.safe_load(written_rules(path).decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{path.name}{where} is not readable YAML.", EXAMPLE) from None  # its text may quote a secret
    if not isinstance(tree or {}, dict):
        raise RecipeError(f"{path.name} should hold {', '.join(PARTS)}.", EXAMPLE)
    return tree or {}


def _denied(path: Path, given: Any) -> dict[str, list[str]]:
    """Kind to words; a plain list has the kind `DENIED`."""
    named = given if isinstance(given, dict) else {DENIED: given}
    return {kind: _words(path, f"deny, {kind}", words) for kind, words in _named(path, named).items()}


def _named(path: Path, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise RecipeError(f"{path.name} should name a kind for each of its patterns.", EXAMPLE)
    for number, kind in enumerate(given, start=1):
        if not isinstance(kind, str) or not KIND.fullmatch(kind):
            raise RecipeError(
                f"Kind {number} in {path.name} is no name in capital letters, digits and `_`.",
                "Call it for example CUSTOMER_NUMBER.",
            )
    return given


def _words(path: Path, part: str, given: Any) -> list[str]:
    """Texts with a letter or a digit; quoting reminds YAML that 007 is one."""
    listed = given if isinstance(given, list) else [given]
    for number, word in enumerate(listed, start=1):
        if not isinstance(word, str) or not re.search(r"\w", word):
            raise RecipeError(
                f"Entry {number} of {part} in {path.name} is no text with a letter or a digit.",
                'Put numbers and dates into quotes: "007".',
            )
    return [word.strip() for word in listed]


def _expressions(path: Path, kind: str, given: Any) -> list[str]:
    """Regular expressions that can be compiled and match something."""
    listed = given if isinstance(given, list) else [given]
    for number, expression in enumerate(listed, start=1):
        where = f"Pattern {number} of {kind} in {path.name}"
        try:
            found = re.compile(expression) if isinstance(expression, str) else None
        except re.error as fault:
            raise RecipeError(f"{where} is no regular expression: {fault.msg}.", "Mend it.") from None
        if found is None or found.search(""):
            raise RecipeError(f"{where} should be a regular expression that does not match nothing.", EXAMPLE)
        if found.groupindex or re.search(r"\\[1-9]", found.pattern) or found.flags & ~re.UNICODE:
            raise RecipeError(
                f"{where} has named groups, back-references or flags for all of it.",
                "Use plain groups, and flags for a part as in `(?i:abc)`.",
            )
    return listed


def _plain(word: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", word).casefold().split())
