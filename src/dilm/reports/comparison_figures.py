"""Figures of a comparison: accuracy against size, against cost, and from learner to learner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dilm.reports import methods
from dilm.reports.comparison import OWN, Cell, Field
from dilm.reports.drawing import CEILING, OTHER, OURS, canvas, inline, legend, short, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
"""A mark for each method that is named: colour only tells ours from the others."""
RANDOM = methods.describe("random").title
BEST = 3
"""Baselines that are named for each learner, beside random rows, where there are more methods than marks."""


def by_size(field: Field) -> str:
    """Mean and interval of each method at each size, a panel for each learner; "" where there is one size only."""
    if len(field.sizes) < 2:
        return ""
    with style("by-size"):
        figure = canvas(2.5 * len(field.learners) + 0.6)
        panels = figure.subplots(len(field.learners), 1, sharex=True, squeeze=False)[:, 0]
        named = _named(field)
        for axes, learner in zip(panels, field.learners, strict=True):
            _draw_sizes(axes, field, learner, named)
        panels[-1].set_xlabel(f"examples per {field.group}")
        legend(panels[0])
        return inline(figure, "by-size", f"Mean {field.metric} of each method at each size")


def by_cost(field: Field) -> str:
    """Each run's own sets by what they cost, the best baseline as a line; "" where no run's cost is known."""
    learner = field.learners[0] if field.learners else ""
    own = [cell for cell in field.cells if cell.kind == "ours" and cell.learner == learner and cell.seconds]
    if not own:
        return ""
    with style("by-cost"):
        figure = canvas(2.7)
        axes = figure.subplots()
        for cell in own:
            _draw_cost(axes, cell)
        baselines = [cell for cell in field.cells if cell.kind == "baseline" and cell.learner == learner]
        if baselines:
            best = max(baselines, key=lambda cell: field.scale.better(cell.bar.mean, 0.0))
            axes.axhline(field.scale.factor * best.bar.mean, color=OTHER, linestyle=(0, (4, 3)), linewidth=1.1)
            place = (0.99, field.scale.factor * best.bar.mean)
            axes.text(*place, short(best.method), transform=axes.get_yaxis_transform(), ha="right", va="bottom")
        _logarithmic(axes)
        axes.margins(x=0.25, y=0.2)
        axes.set_xlabel("seconds to make the set")
        axes.set_ylabel(field.scale.axis)
        axes.grid(axis="y")
        return inline(figure, "by-cost", f"{field.metric} of each run against the time that its set cost")


def transfer(field: Field) -> str:
    """Means of every method with every learner at the largest size, as a heat map; "" with a single learner."""
    if len(field.learners) < 2:
        return ""
    size = max(field.sizes, default=0)
    grid = [[field.find(method, learner, size) for learner in field.learners] for method in field.methods]
    values = [[field.scale.factor * cell.bar.mean if cell else float("nan") for cell in line] for line in grid]
    with style("transfer"):
        figure = canvas(0.32 * len(field.methods) + 1.3)
        axes = figure.subplots()
        known = [value for line in values for value in line if value == value]
        low, span = min(known), (max(known) - min(known)) or 1.0
        for row, line in enumerate(values):
            for column, value in enumerate(line):
                share = (value - low) / span
                _draw_square(axes, column, row, value, share if field.scale.sign > 0 else 1 - share)
        axes.set_xlim(-0.5, len(field.learners) - 0.5)
        axes.set_ylim(len(field.methods) - 0.5, -0.5)
        axes.set_xticks(range(len(field.learners)), [short(learner, 16) for learner in field.learners], rotation=20)
        axes.set_yticks(range(len(field.methods)), [short(method) for method in field.methods])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return inline(figure, "transfer", f"Mean {field.metric} of each method with each learner")


def _named(field: Field) -> list[str]:
    """The methods that a figure names: all, or where they are too many ours, random rows, full data and the best."""
    if len(field.methods) <= len(MARKS):
        return list(field.methods)
    size, named = max(field.sizes), {RANDOM}
    for learner in field.learners:
        cells = [cell for method in field.methods if (cell := field.find(method, learner, size))]
        named |= {cell.method for cell in cells if cell.kind in ("ours", "ceiling")}
        baselines = sorted(
            (cell for cell in cells if cell.kind not in (*OWN, "ceiling")),
            key=lambda cell: field.scale.better(0.0, cell.bar.mean),
        )
        named |= {cell.method for cell in baselines[:BEST]}
    return [method for method in field.methods if method in named]


def _draw_sizes(axes: Axes, field: Field, learner: str, named: list[str]) -> None:
    """Named methods with marks and intervals, ours above all others; the rest as thin lines."""
    for method in field.methods:
        cells = [(size, cell) for size in field.sizes if (cell := field.find(method, learner, size))]
        sizes, means = [size for size, _ in cells], [field.scale.factor * cell.bar.mean for _, cell in cells]
        if method not in named:
            axes.plot(sizes, means, "-", color=OTHER, alpha=0.3, linewidth=0.7)
            continue
        kind = next((cell.kind for _, cell in cells), "baseline")
        colour = {"ours": OURS, "ceiling": CEILING}.get(kind, OTHER)
        form = "--" if kind == "ceiling" else f"{MARKS[named.index(method) % len(MARKS)]}-"
        above = 3 if kind == "ours" else 2
        axes.plot(sizes, means, form, color=colour, markersize=4, linewidth=1.2, label=short(method), zorder=above)
        for size, cell in cells if kind != "ceiling" else ():
            low, high = cell.bar.interval or (cell.bar.mean, cell.bar.mean)
            axes.plot(
                [size, size], [field.scale.factor * end for end in (low, high)], color=colour, alpha=0.35, linewidth=3
            )
    _logarithmic(axes)
    axes.set_xticks(field.sizes)
    axes.set_ylabel(field.scale.axis)
    axes.set_title(short(learner, 34), loc="right")
    axes.grid(axis="y")


def _draw_cost(axes: Axes, cell: Cell) -> None:
    factor = cell.bar.scale.factor
    value, seconds = factor * cell.bar.mean, cell.seconds or 0.0
    if cell.bar.interval:
        axes.plot([seconds, seconds], [factor * end for end in cell.bar.interval], color=OURS, alpha=0.4, linewidth=4)
    axes.plot([seconds], [value], "o", color=OURS, markersize=6)
    name = f"{short(cell.method)}, {cell.per_class}"
    axes.annotate(name, (seconds, value), xytext=(6, 4), textcoords="offset points", color=OURS)


def _draw_square(axes: Axes, column: int, row: int, value: float, share: float) -> None:
    """One cell: the darker, the better among all; where nothing was measured, nothing is drawn."""
    from matplotlib.patches import Rectangle

    if value != value:
        return
    corner = (column - 0.48, row - 0.46)
    axes.add_patch(Rectangle(corner, 0.96, 0.92, color=OURS, alpha=0.08 + 0.5 * share, linewidth=0))
    axes.text(column, row, f"{value:.1f}", ha="center", va="center")


def _logarithmic(axes: Axes) -> None:
    """Equal steps for equal ratios, with plain numbers: powers would be set as formulas, which a page cannot show."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.minorticks_off()
