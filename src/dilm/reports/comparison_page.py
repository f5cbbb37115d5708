"""The comparison as one HTML page without scripts, and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dilm.reports import comparison, comparison_figures
from dilm.reports.comparison import Field
from dilm.reports.page import environment
from dilm.reports.table import escape, markdown_table
from dilm.version import VERSION

if TYPE_CHECKING:
    from rich.table import Table

AHEAD = "Ours ahead by, in points, with the 95 % interval and p"
"""What the second table of a learner says; it stands below, because beside the means there is no room."""

SHOWN = 3
"""Examples of each class and run on the page."""

STYLES = {"ours": "bold cyan", "ceiling": "dim"}


def render(compared: Sequence[Field]) -> str:
    """The whole page as HTML text; whatever comes from data is escaped by the template engine."""
    page = (
        environment()
        .get_template("comparison.html.j2")
        .render(
            compared=[_section(field) for field in compared],
            total=sum(len(field.entrants) for field in compared),
            version=VERSION,
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def terminal(compared: Sequence[Field]) -> Table:
    """A block for each task and learner, a column for each size."""
    from rich.table import Table
    from rich.text import Text

    widest = max((comparison.header(field) for field in compared), key=len, default=("method",))
    table = Table(header_style="dim")
    for name in widest:
        table.add_column(name if len(compared) == 1 else "", justify="left" if name == "method" else "right")
    for field in compared:
        for learner in field.learners:
            columns = comparison.header(field)[1:] if len(compared) > 1 else ()
            table.add_row(Text(f"{field.title}, {learner}", style="italic"), *columns)
            for kind, cells in comparison.rows(field, learner):
                table.add_row(*map(Text, cells), style=STYLES.get(kind))
            table.add_section()
    return table


def markdown(compared: Sequence[Field]) -> str:
    """A table for each task and learner, runs' own sets in bold, and one of the differences to them."""
    parts = []
    for field in compared:
        parts.append(f"## {escape(field.title)}\n\n{field.metric}{field.scale.said}, 95 % intervals in brackets.")
        parts.extend(part for learner in field.learners for part in _markdown(field, learner))
    return "\n\n".join(parts) + "\n"


def _markdown(field: Field, learner: str) -> Iterator[str]:
    """A learner's tables."""
    header, ahead = comparison.header(field), comparison.ahead_rows(field, learner)
    yield markdown_table(f"**{escape(learner)}**", header, comparison.rows(field, learner))
    if ahead:
        yield markdown_table(f"{AHEAD}:", header, ahead)


def _section(field: Field) -> dict[str, Any]:
    from markupsafe import Markup

    return {
        "field": field,
        "runs": [entrant.name for entrant in field.entrants],
        "header": comparison.header(field),
        "tables": [
            (learner, comparison.rows(field, learner), comparison.ahead_rows(field, learner))
            for learner in field.learners
        ],
        "ahead": AHEAD,
        "examples": comparison.examples(field, SHOWN),
        **{
            name: Markup(getattr(comparison_figures, name)(field))  # our own drawings: they hold no raw data
            for name in ("by_size", "by_cost", "transfer")
        },
    }
