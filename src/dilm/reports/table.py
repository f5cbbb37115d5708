"""The comparison as a table: for a terminal, for Markdown, and as plain text for a pipe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dilm.reports import answers, robustness, wording
from dilm.reports.findings import Bar, Block, Findings, beside, blocks
from dilm.reports.scales import scale

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {"ours": "bold cyan", "ceiling": "dim"}
NOTHING = "-"
AHEAD = "ours ahead by"
NEEDED = {"sets × seeds": 110, "vs random": 110, "of full": 110, "recovery": 121, "p": 135}
"""Columns that only a terminal of so many characters shows."""
WIDE = max(NEEDED.values())
"""Characters that all columns need."""
NO_TRIALS = "No trial was scored."


@dataclass(frozen=True, slots=True)
class Row:
    """One bar in words, and its part in the comparison."""

    kind: str
    cells: tuple[str, ...]


def header(findings: Findings) -> tuple[str, ...]:
    """Names of the columns."""
    return (
        "method",
        scale(findings.task.metric).title,
        "95 % interval",
        "sets × seeds",
        "vs random",
        "of full",
        "recovery",
        AHEAD,
        "p",
    )


def rows(block: Block) -> tuple[Row, ...]:
    """The bars of a block in words, in the block's order."""
    return tuple(Row(bar.kind, _cells(bar, block)) for bar in block.bars)


def title(findings: Findings, block: Block) -> str:
    """What a block was measured on."""
    return f"{findings.task.name}, {_trained(findings, block)}"


def _trained(findings: Findings, block: Block) -> str:
    """Who, on how many examples."""
    return f"{block.learner}, {block.per_class} per {wording.group(findings.task.metric)}"


def results(findings: Findings, width: int = WIDE) -> Table:
    """The table for a terminal: a block for each learner, ours highlighted, full data as the ceiling.

    One of fewer than `WIDE` characters shows what matters most: the mean, its interval, the difference to ours.
    """
    from rich.table import Table
    from rich.text import Text

    found = blocks(findings)
    table = Table(title=Text(findings.task.name), title_justify="left", header_style="dim")
    names = header(findings)
    shown = [place for place, name in enumerate(names) if width >= NEEDED.get(name, 0)]
    for name in (names[place] for place in shown):
        table.add_column(name, justify="left" if name == "method" else "right", overflow="fold")
    for block in found:
        table.add_row(Text(_trained(findings, block), style="italic"))
        for row in rows(block):
            table.add_row(*(Text(row.cells[place]) for place in shown), style=STYLES.get(row.kind))
        table.add_section()
    return table


def plain(findings: Findings) -> str:
    """The same without colour or boxes, one line for each row however long: for pipes and log files."""
    found = blocks(findings)
    if not found:
        return NO_TRIALS
    lines = [[header(findings), *(tuple(map(_one_line, row.cells)) for row in rows(block))] for block in found]
    widths = [max(map(len, column)) for column in zip(*(cells for block in lines for cells in block), strict=True)]
    parts = [
        "\n".join([_one_line(title(findings, block)), *(_aligned(cells, widths) for cells in cells_of)])
        for block, cells_of in zip(found, lines, strict=True)
    ]
    return "\n\n".join(parts)


def markdown(findings: Findings) -> str:
    """The same for a README: one table for each block, the row of ours in bold; robust scores below."""
    tables = [
        markdown_table(
            f"{escape(title(findings, block))}:", header(findings), ((row.kind, row.cells) for row in rows(block))
        )
        for block in blocks(findings)
    ]
    written = [markdown_table(f"{escape(name)}:", names, rows) for name, names, rows in answers.tables(findings)]
    scores = "\n".join(f"- {escape(line)}" for line in robustness.sentences(findings))
    return "\n\n".join([*tables, *written, *([scores] if scores else [])]) or NO_TRIALS


def markdown_table(caption: str, names: Sequence[str], lines: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A caption in Markdown, and (kind, cells) as rows under column names, numbers to the right, ours in bold."""
    found = [caption, "", f"| {' | '.join(map(escape, names))} |", f"|---|{'--:|' * (len(names) - 1)}"]
    for kind, cells in lines:
        mark = "**" if kind == "ours" else ""
        found.append(f"| {' | '.join(f'{mark}{escape(cell)}{mark}' for cell in cells)} |")
    return "\n".join(found)


def escape(value: object) -> str:
    """A value as literal Markdown text on one line: no HTML, no markup, no new table cell.

    >>> escape("a|b <i>*c*</i>")
    'a\\\\|b &lt;i&gt;\\\\*c\\\\*&lt;/i&gt;'
    """
    text = _one_line(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", text)


def _cells(bar: Bar, block: Block) -> tuple[str, ...]:
    read = bar.scale
    low_high = " to ".join(map(read.number, bar.interval)) if bar.interval else NOTHING
    stands = beside(bar, block)
    return (
        bar.title,
        read.value(bar.mean),
        low_high,
        f"{bar.sets} × {bar.seeds}",
        _said(stands.ahead_of_random, read.ahead),
        _said(stands.of_full, wording.percent),
        _said(stands.recovery, wording.percent),
        read.gap(bar.gap.mean, bar.gap.low, bar.gap.high) if bar.gap else NOTHING,
        _said(bar.gap.p if bar.gap else None, wording.chance),
    )


def _said(number: float | None, say: Callable[[float], str]) -> str:
    return NOTHING if number is None else say(number)


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
