"""Whether a written answer is right where that can be told without a judge: its final number, or the slots it says."""

from __future__ import annotations

import re

NUMBER = r"-?\$?\d[\d,]*(?:\.\d+)?"
TOLD = re.compile(rf"####\s*({NUMBER})\s*$")
"""How GSM8K's answers end."""
STEP = re.compile(r"<<([\d+\-*/. ()]+)=\s*(-?[\d.]+)>>")
"""A calculation that is written out: `<<48/2=24>>`."""
SLOT = re.compile(r"([\w ]+)\[([^\]]*)\]")
YES = ("family", "kid", "child")
"""Any of these tells whether a place is for families."""
DENIED = re.compile(r"\b(not?|non|isn ?'?t|un|adults?|never|without)\b")
CLOSE = 1e-2
"""Calculations round their results."""


def final_number(text: str) -> float | None:
    """The number behind the last `####`; None where the text does not end in one.

    >>> final_number("so 3 + 1,197 = 1,200 #### 1,200"), final_number("#### many"), final_number("12")
    (1200.0, None, None)
    """
    found = TOLD.search(text.strip())
    return float(re.sub(r"[$,]", "", found[1])) if found else None


def wrong_steps(text: str) -> int:
    """Calculations of a text whose result is not what stands behind their equals sign.

    >>> wrong_steps("<<48/2=24>>24 and <<2+2=5>>5")
    1
    """
    return sum(not _holds(sum_, float_of(result)) for sum_, result in STEP.findall(text))


def consistent(text: str) -> bool:
    """Whether an answer ends in a number, and none of its calculations is wrong."""
    return final_number(text) is not None and not wrong_steps(text)


def same_number(written: str, wanted: str) -> bool:
    """Whether both end in one and the same number."""
    number = final_number(written)
    return number is not None and number == final_number(wanted)


def slots(meaning: str) -> dict[str, str]:
    """The slots that a meaning names.

    >>> slots("name[Blue Spice], eatType[coffee shop]")
    {'name': 'Blue Spice', 'eatType': 'coffee shop'}
    """
    return {name.strip(): value.strip() for name, value in SLOT.findall(meaning)}


def realised(meaning: str, text: str) -> float:
    """Share of a meaning's slots whose value stands in the text, word for word; 1 of a meaning without any.

    Case, spaces and punctuation do not count. `familyFriendly[no]` is told by a denial beside a word for families.
    Sentences may say a slot in other words, so that real ones do not reach 1: compare with theirs.

    >>> realised("name[Blue Spice], area[riverside]", "Blue spice is by the river.")
    0.5
    """
    asked = slots(meaning)
    told = sum(_says(name, value, text) for name, value in asked.items())
    return told / len(asked) if asked else 1.0


def float_of(text: str) -> float | None:
    """A number, or None for what is none."""
    try:
        return float(text)
    except ValueError:
        return None


def _holds(sum_: str, result: float | None) -> bool:
    value = _value(sum_)
    return value is not None and result is not None and abs(value - result) <= CLOSE * max(1.0, abs(value))


def _value(sum_: str) -> float | None:
    """Of a sum of numbers, without calling the interpreter: + - * / and brackets; None where it is none."""
    tokens = re.findall(r"\d*\.?\d+|[-+*/()]", sum_)
    try:
        value, rest = _added(tokens)
    except (IndexError, ValueError, ZeroDivisionError):
        return None
    return None if rest else value


def _added(tokens: list[str]) -> tuple[float, list[str]]:
    value, rest = _multiplied(tokens)
    while rest and rest[0] in "+-":
        sign, (next_, rest) = rest[0], _multiplied(rest[1:])
        value = value + next_ if sign == "+" else value - next_
    return value, rest


def _multiplied(tokens: list[str]) -> tuple[float, list[str]]:
    value, rest = _atom(tokens)
    while rest and rest[0] in "*/":
        sign, (next_, rest) = rest[0], _atom(rest[1:])
        value = value * next_ if sign == "*" else value / next_
    return value, rest


def _atom(tokens: list[str]) -> tuple[float, list[str]]:
    if tokens[0] == "-":
        value, rest = _atom(tokens[1:])
        return -value, rest
    if tokens[0] == "(":
        value, rest = _added(tokens[1:])
        return value, rest[1:]
    return float(tokens[0]), tokens[1:]


def _says(name: str, value: str, text: str) -> bool:
    if name.lower().replace(" ", "") == "familyfriendly":
        spoken = text.lower()
        about = any(word in spoken for word in YES)
        denied = bool(DENIED.search(spoken))
        return (about and denied == (value.lower() == "no")) or (value.lower() == "no" and "adult" in spoken)
    return _plain(value) in _plain(text)


def _plain(text: str) -> str:
    """Lower-case words and numbers between single spaces, with one at either end."""
    return " " + " ".join(re.findall(r"[^\W_]+|£", text.lower())) + " "
