"""What `select.filters` may name: which filter, and how strict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from dilm.errors import RecipeError, did_you_mean


@dataclass(frozen=True)
class Filtering:
    """A filter by its name, and its number, 0 where it has none."""

    name: str
    number: float = 0.0


@dataclass(frozen=True)
class _Number:
    """What the number after the colon must be."""

    wanted: str
    holds: Callable[[float], bool]
    example: str


KNOWN: dict[str, _Number | None] = {
    "agree": None,
    "margin": _Number("above 0 and at most 1", lambda value: 0 < value <= 1, "margin:0.5"),
    "sure": _Number("above 0 and at most 1", lambda value: 0 < value <= 1, "sure:0.3"),
    "words": _Number("a whole number, at least 1", lambda value: value >= 1 and value.is_integer(), "words:10"),
    "repetition": _Number("from 0 to 1", lambda value: 0 <= value <= 1, "repetition:0.2"),
    "pairs": None,
    "fluency": _Number("above 0 and at most 1", lambda value: 0 < value <= 1, "fluency:0.8"),
    "answer": None,
    "covered": None,
}
ASK_A_TEACHER = ("agree", "margin", "sure")


def filtering(text: str) -> Filtering:
    """What an entry of `select.filters` means. Raises RecipeError.

    >>> filtering("agree"), filtering("words:10")
    (Filtering(name='agree', number=0.0), Filtering(name='words', number=10.0))
    """
    name, colon, number = text.partition(":")
    if name not in KNOWN:
        written = [rule.example if rule else known for known, rule in KNOWN.items()]
        listed = f"{did_you_mean(name, KNOWN)} Known: {', '.join(written)}."
        raise RecipeError(f"select.filters does not know {text!r}.", listed.strip())
    rule = KNOWN[name]
    if rule is None:
        if colon:
            raise RecipeError(f"The filter `{name}` takes no number, found {text!r}.", f"Write `{name}`.")
        return Filtering(name)
    value = _number(number)
    if not (math.isfinite(value) and rule.holds(value)):
        raise RecipeError(
            f"The number of the filter `{name}` should be {rule.wanted}, found {text!r}.", f"Write `{rule.example}`."
        )
    return Filtering(name, value)


def asks_teacher(filters: tuple[str, ...]) -> bool:
    """Whether any of these filters needs somebody who knows the classes."""
    return any(filtering(text).name in ASK_A_TEACHER for text in filters)


def asks_judge(filters: tuple[str, ...]) -> bool:
    """Whether any of these filters needs the independent language model."""
    return any(filtering(text).name == "fluency" for text in filters)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
