"""What the audit found, in words: for the terminal, the page and the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from dilm.reports import wording

ABOUT = {
    "released": "The released texts",
    "pool": "The pool that they were chosen from, which is not released",
    "generator": "The generator that wrote them, which is not released",
}
"""What an attacker would need to have, in the order of weight."""
UNITS: Mapping[str, Callable[[float], str]] = {
    "share": wording.percent,
    "auc": "{:.2f}".format,
    "words": "{:.0f}".format,
    "rows": "{:.0f}".format,
    "epsilon": "{:.2f}".format,
}
HEADER = ("figure", "found", "95 % interval", "without a leak", "p")
NOTHING = "–"
READING = (
    "All figures are worse the larger they are. “Told apart” is the chance that a trained row scores above a held-out "
    "one (AUC): 0.50 is guessing. “p” is one-sided and corrected for all tests of the audit (Holm); a leak is called "
    "shown below 0.05."
)


@dataclass(frozen=True, slots=True)
class Line:
    """One figure, as the audit stage wrote it."""

    name: str
    title: str
    about: str
    unit: str
    value: float
    low: float | None
    high: float | None
    guess: float | None
    beside: float | None
    p: float | None
    corrected: float | None
    rows: str
    flagged: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """What was found, its interval, what it is where nothing leaks, p."""
        say = UNITS[self.unit]
        ends = None if self.low is None or self.high is None else f"{say(self.low)} to {say(self.high)}"
        return (
            say(self.value),
            ends or NOTHING,
            NOTHING if self.guess is None else say(self.guess),
            NOTHING if self.corrected is None else wording.chance(self.corrected),
        )


@dataclass(frozen=True, slots=True)
class Audit:
    """One audit, as the audit stage wrote it."""

    form: str
    tone: str
    badge: str
    headline: str
    lines: tuple[Line, ...]
    untested: Sequence[str]
    notes: Sequence[str]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Audit:
        """From audit.json."""
        names = [field.name for field in fields(Line)]
        lines = (Line(**{name: each[name] for name in names}) for each in told["findings"].values())
        return cls(told["form"], **told["verdict"], lines=tuple(lines), untested=told["untested"], notes=told["notes"])

    @property
    def blocks(self) -> tuple[tuple[str, tuple[Line, ...]], ...]:
        """(what an attacker would have, figures), as far as there are any."""
        found = ((title, tuple(line for line in self.lines if line.about == about)) for about, title in ABOUT.items())
        return tuple((title, lines) for title, lines in found if lines)


def text(audit: Audit) -> str:
    """For a terminal: the verdict, every figure under its name, what was not tested."""
    parts = [f"{audit.badge} ({audit.form} audit). {audit.headline}"]
    for title, lines in audit.blocks:
        rows = [("", *HEADER[1:], ""), *((each.name, *each.cells, each.title) for each in lines)]
        parts += ["", f"{title}:", *_aligned(rows)]
    parts += ["", "Not tested:", *(f"- {line}" for line in audit.untested)]
    return "\n".join([*parts, "", READING, *audit.notes])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *middle, last in rows:
        cells = [cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True)]
        lines.append("  ".join([f"  {first.ljust(widths[0])}", *cells, last]).rstrip())
    return lines
