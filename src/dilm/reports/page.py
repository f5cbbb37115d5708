"""The report: one HTML page that needs no network and no script, and still says everything ten years from now.

Whatever comes from data (texts, class names, method names, settings) is escaped by the template engine, always. The
page's own policy forbids scripts and every outside resource, so even a mistake here could not run one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilm.reports import answers, audit, figures, methods, personal, robustness, table, wording
from dilm.reports.findings import Findings, blocks
from dilm.reports.scales import scale
from dilm.reports.verdict import verdict
from dilm.types import Example

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"

MOST_ROWS = 240
"""Examples on the page, over all classes; the rest stay in the data file."""

MOST_CHARACTERS = 80_000
"""Room for the texts on the page, shared evenly."""

REASONS = {
    "malformed": "not one text for each field",
    "empty": "nothing written in a field",
    "too long": "no end within the longest text allowed",
    "duplicate": "a text that the pool already had",
    "flagged": "a detector took something in it for personal data",
    "kept": "what the examples were selected from",
}


@dataclass(frozen=True, slots=True)
class Group:
    """The examples of one class as they are shown: a tuple of (field, text) pairs for each."""

    label: str
    examples: tuple[tuple[tuple[str, str], ...], ...]
    rows: int
    """Examples of this class, shown or not."""


def render(findings: Findings) -> str:
    """The whole page as HTML text; the same findings give the same text."""
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            findings=findings,
            task=findings.task,
            verdict=verdict(findings),
            tiles=tiles(findings),
            groups=groups(findings),
            group_name=wording.group(findings.task.metric),
            header=table.header(findings),
            ahead=table.AHEAD,
            reading=scale(findings.task.metric).note,
            answers=answers.tables(findings),
            blocks=[(table.title(findings, block), table.rows(block)) for block in blocks(findings)],
            glossary=glossary(findings),
            robust=robustness.sentences(findings),
            drawings=_drawings(findings),
            rejections=rejections(findings),
            measured=measured(findings),
            personal={
                "sentences": personal.sentences(findings),
                "columns": personal.columns(findings),
                "lines": personal.lines(findings),
            },
            audit_header=audit.HEADER,
            audit_reading=audit.READING,
            total=sum(cost.seconds for cost in findings.costs),
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def tiles(findings: Findings) -> tuple[tuple[str, str], ...]:
    """The few numbers to remember, each with what it is."""
    rows, small = findings.rows("train"), len(findings.distilled)
    found = [(wording.count(small), f"examples, {findings.per_class} per {wording.group(findings.task.metric)}")]
    if rows:
        found.append((wording.count(rows), "training rows that they stand for"))
    first = next((block for block in blocks(findings) if block.find(methods.OURS)), None)
    ours, full = (first.find(methods.OURS), first.find(methods.CEILING)) if first else (None, None)
    if ours:
        found.append((ours.scale.value(ours.mean), ours.scale.title))
    if ours and full and full.mean and ours.scale.sign > 0:
        found.append((wording.percent(ours.mean / full.mean), "of what all training rows give"))
    if ours and full and ours.scale.sign < 0:
        found.append((full.scale.value(full.mean), "where all training rows are learnt from"))
    if findings.costs:
        found.append((wording.duration(sum(cost.seconds for cost in findings.costs)), "of computing, all stages"))
    return tuple(found)


def groups(findings: Findings) -> tuple[Group, ...]:
    """The examples class by class, as many and as long as the page has room for."""
    task, data = findings.task, findings.distilled
    most = max(1, MOST_ROWS // len(task.labels))
    shown = min(len(data), MOST_ROWS) or 1
    longest = max(200, MOST_CHARACTERS // (shown * len(task.fields)))

    def cells(example: Example) -> tuple[tuple[str, str], ...]:
        return tuple((field, cut(text, longest)) for field, text in zip(task.fields, example.texts, strict=True))

    return tuple(
        Group(name, tuple(map(cells, data.of(label)[:most])), data.counts[label])
        for label, name in enumerate(task.labels)
    )


def cut(text: str, longest: int) -> str:
    """A text of at most `longest` characters, and how many were left out.

    >>> cut("abcdef", 4)
    'abcd … (2 more characters)'
    """
    left = len(text) - longest
    return text if left <= 0 else f"{text[:longest]} … ({wording.count(left, 'more character')})"


def glossary(findings: Findings) -> tuple[methods.Method, ...]:
    """What each method in the comparison is, in the order of the first block."""
    names = dict.fromkeys(bar.method for block in blocks(findings) for bar in block.bars)
    return tuple(methods.explained(name, wording.group(findings.task.metric)) for name in names)


@dataclass(frozen=True, slots=True)
class Rejection:
    """One reason, and for each pool its (share, rows)."""

    reason: str
    meaning: str
    pools: tuple[tuple[float, int], ...]


def rejections(findings: Findings) -> tuple[Rejection, ...]:
    """Why generated texts were dropped: reasons in a fixed order, unknown ones after the known, `kept` last."""
    pools = findings.rejected or {}
    named = {reason for pool in pools.values() for reason in pool}
    known = [reason for reason in REASONS if reason in named and reason != "kept"]
    order = [*known, *sorted(named - set(REASONS)), *(["kept"] if "kept" in named else [])]
    return tuple(
        Rejection(reason, REASONS.get(reason, ""), tuple(_share(pool, reason) for pool in pools.values()))
        for reason in order
    )


def measured(findings: Findings) -> tuple[str, ...]:
    """How the numbers came about, in sentences."""
    if not findings.scores:
        return (table.NO_TRIALS,)
    splits = ", ".join(dict.fromkeys(score.split for score in findings.scores))
    spent = wording.duration(sum(score.seconds for score in findings.scores))
    lines = [
        f"{wording.count(len(findings.scores), 'model')} were trained from the same start and scored on the "
        f"{splits} split{_scored(findings)}, in {spent} together.",
        "A row of 5 × 3 means: 5 sets drawn by the method, and on each of them 3 trainings with different seeds.",
    ]
    if findings.rows("dev"):
        lines.append(
            f"Every choice was made on {wording.count(findings.rows('dev'))} dev rows carved from the training data; "
            "the split that is reported was only ever scored."
        )
    return tuple(lines)


def _scored(findings: Findings) -> str:
    """How many rows that was, as the end of a phrase; nothing where nobody counted."""
    rows, all_rows = findings.scored, findings.rows("test")
    if 0 < rows < all_rows:
        return f", on {wording.count(rows)} of its {wording.count(all_rows)} rows, drawn in the classes' proportions"
    return f" of {wording.count(all_rows)} rows" if all_rows else ""


def _share(pool: Mapping[str, int], reason: str) -> tuple[float, int]:
    total = sum(pool.values())
    return (pool.get(reason, 0) / total if total else 0.0, pool.get(reason, 0))


def _drawings(findings: Findings) -> dict[str, Any]:
    """Our own drawings, marked as HTML: the only text on the page that is not escaped, and it holds no raw data."""
    from markupsafe import Markup

    return {
        "accuracy": Markup(figures.accuracy_bars(findings)),
        "fit": Markup(figures.fit_curve(findings)),
        "match": Markup(figures.match_curve(findings)),
    }


def _unbroken(text: str) -> str:
    """A text of ours in which no line ends between a number and its percent sign."""
    return text.replace(" %", "\u00a0%")


def _listed(value: Iterable[object]) -> str:
    return ", ".join(map(str, value)) or "none"


@cache
def environment() -> Environment:
    """Templates that escape whatever they print, with numbers in our words."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "count": wording.count,
        "duration": wording.duration,
        "memory": wording.memory,
        "tokens": wording.tokens,
        "listed": _listed,
        "unbroken": _unbroken,
    }
    return environment
