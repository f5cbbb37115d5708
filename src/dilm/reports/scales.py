"""How a metric is read: in which unit, with how many digits, and whether more of it is better."""

from __future__ import annotations

from dataclasses import dataclass

from dilm.reports import wording


@dataclass(frozen=True, slots=True)
class Scale:
    """Of scores, their differences, and what they are called."""

    title: str
    factor: float
    """What is written is so many times the score."""
    unit: str
    digits: int
    sign: int
    """1 where more is better, -1 where less is."""
    note: str
    """What a reader of the table must know of it."""

    def value(self, score: float) -> str:
        """A score with its unit."""
        return f"{self.number(score)}{self.unit}"

    def number(self, score: float) -> str:
        """A score without its unit."""
        return f"{self.factor * score:.{self.digits}f}"

    def better(self, ours: float, other: float) -> float:
        """How much better the first of two scores is."""
        return self.sign * (ours - other)

    def ahead(self, difference: float) -> str:
        """A difference that `better` gave, with its sign; none where it rounds to nothing."""
        rounded = f"{self.factor * difference:+.{self.digits}f}"
        return rounded.lstrip("+-") if not float(rounded) else rounded

    def gap(self, mean: float, low: float, high: float) -> str:
        """A difference with its interval."""
        return f"{self.ahead(mean)} ({self.ahead(low)} to {self.ahead(high)})"

    def share(self, score: float, whole: float) -> float | None:
        """What a score is of another, 1 where it is as good; None where that has no meaning."""
        part, all_ = (score, whole) if self.sign > 0 else (whole, score)
        return part / all_ if all_ else None

    @property
    def said(self) -> str:
        """What stands behind the title in a caption."""
        return " in percent" if self.unit else ", less is better"

    @property
    def axis(self) -> str:
        """What stands beside an axis."""
        return f"{self.title} (%)" if self.unit else f"{self.title}, less is better"


POINTS = "“vs random” and differences are in percentage points"
PERPLEXITY = Scale(
    "perplexity",
    1.0,
    "",
    2,
    -1,
    "Perplexity is that of a token of the real targets given their inputs: less is better. “vs random” and differences "
    "are in units of it, positive where ours is better",
)


def scale(metric: str) -> Scale:
    """Of a metric by its name.

    >>> scale("accuracy").value(0.7812), scale("accuracy").gap(0.08, 0.071, 0.089)
    ('78.1 %', '+8.0 (+7.1 to +8.9)')
    >>> scale("perplexity").value(12.3456), scale("perplexity").ahead(scale("perplexity").better(10.0, 12.5))
    ('12.35', '+2.50')
    """
    return PERPLEXITY if metric == "perplexity" else Scale(wording.metric(metric), 100.0, " %", 1, 1, POINTS)
