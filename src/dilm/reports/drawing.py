"""What all figures share: inline SVG without colours, fonts or identifiers of its own.

Neutral parts are drawn in `currentColor` and the rest in CSS variables, so that one drawing reads well on light, dark
and printed pages. Text stays text, in the page's font. The same figure gives the same bytes. Nothing touches pyplot.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, OURS, OTHER, CEILING = "#010203", "#010204", "#010205", "#010206"
PAINTS = {
    INK: "currentColor",
    OURS: "var(--ours, #0072b2)",
    OTHER: "var(--other, #767f8c)",
    CEILING: "var(--ceiling, #c05a00)",
}
"""Stand-ins that matplotlib can draw with, and the CSS that replaces them. Blue and orange differ to every eye."""

WIDTH = 4.9
"""Inches: on a phone the text is still legible, on a desk the figure is not a poster."""

LONGEST_NAME = 26


def legend(axes: Axes) -> None:
    """Above the panel, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2, handlelength=1.6)


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """A name on one line, in characters that a font can be asked for."""
    name = " ".join(name.encode("utf-8", "replace").decode().split())
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


@contextmanager
def style(name: str) -> Iterator[None]:
    """Drawing settings for one figure; the salt fixes the identifiers that matplotlib would draw at random."""
    from matplotlib import rc_context

    settings: dict[Any, Any] = {
        "svg.hashsalt": f"dilm-{name}",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.axisbelow": True,
        "grid.alpha": 0.16,
        "grid.linewidth": 0.6,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "grid.color"), INK),
        **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    }
    with rc_context(settings), warnings.catch_warnings():
        # The browser's fonts draw the text; that matplotlib's own font lacks a letter does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def canvas(height: float) -> Figure:
    """An empty figure, `height` inches high, that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def inline(figure: Figure, name: str, label: str) -> str:
    """The figure as an <svg> element whose identifiers cannot clash with those of another figure on the page."""
    buffer = io.StringIO()
    unsaid = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=unsaid)
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :].strip()
    drawing = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", drawing)
    drawing = re.sub(r" font-family: [^;\"]*;", "", drawing)
    opening = f'<svg class="figure" role="img" aria-label="{html.escape(label)}" font-family="system-ui, sans-serif" '
    drawing = drawing.replace("<svg ", opening, 1)
    for stand_in, paint in PAINTS.items():
        drawing = drawing.replace(stand_in, paint)
    return drawing
