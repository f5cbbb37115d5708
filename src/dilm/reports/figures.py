"""Figures as inline SVG: the comparison with its intervals, and what fit and match logged on their way.

The same findings give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dilm.reports import wording
from dilm.reports.drawing import CEILING, OTHER, OURS, canvas, inline, legend, short, style
from dilm.reports.findings import Bar, Block, Curve, Findings, blocks
from dilm.reports.scales import scale
from dilm.types import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 300
"""A longer curve is averaged in equal runs of steps, for a page of bounded size."""


def accuracy_bars(findings: Findings) -> str:
    """A dot and its 95 % interval for each bar, a tick for each trial, a line for full data; "" without bars."""
    found = blocks(findings)
    if not found:
        return ""
    heights = [len(_contestants(block)) + 1.2 for block in found]
    with style("accuracy"):
        figure = canvas(0.31 * sum(heights) + 0.5)
        panels = figure.subplots(len(found), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})
        panels[-1, 0].set_xlim(*_range(findings))
        panels[-1, 0].set_xlabel(scale(findings.task.metric).axis)
        for block, axes in zip(found, panels[:, 0], strict=True):
            _draw_block(axes, findings, block)
        return inline(figure, "accuracy", f"Mean {wording.metric(findings.task.metric)} of each method with intervals")


def fit_curve(findings: Findings) -> str:
    """Negative log-likelihood of train and dev rows while the generator was fitted; "" when nothing was logged."""
    curve = findings.curve("fit")
    lines = [
        (_points(curve, "train_nll"), "train", OTHER, "-"),
        (_points(curve, "dev_nll"), "dev", OURS, "o-"),
    ]
    if not any(points for points, *_ in lines):
        return ""
    with style("fit"):
        figure = canvas(2.7)
        axes = figure.subplots()
        for points, name, colour, form in lines:
            _draw_line(axes, points, name, colour, form)
        axes.set_ylabel("NLL (nats per token)")
        axes.set_xlabel("fit step")
        legend(axes)
        return inline(figure, "fit", "Negative log-likelihood over the steps of fit")


def match_curve(findings: Findings) -> str:
    """Cosine similarity of gradients, and the dev score below it, while matching; "" when nothing was logged."""
    curve = findings.curve("match")
    dev = [(step, 100 * value) for step, value in _points(curve, "dev_score")]
    panels = [
        (_points(curve, "similarity"), "cosine similarity", OTHER, "-"),
        (dev, "dev score (%)", OURS, "o-"),
    ]
    drawn = [panel for panel in panels if panel[0]]
    if not drawn:
        return ""
    with style("match"):
        figure = canvas(0.7 + 1.7 * len(drawn))
        all_axes = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (points, name, colour, form) in zip(all_axes, drawn, strict=True):
            _draw_line(axes, points, name, colour, form)
            axes.set_ylabel(name)
        all_axes[-1].set_xlabel("match step")
        return inline(figure, "match", "Gradient similarity and dev score over the steps of match")


def _contestants(block: Block) -> tuple[Bar, ...]:
    return tuple(bar for bar in block.bars if bar.kind != "ceiling")


def _draw_block(axes: Axes, findings: Findings, block: Block) -> None:
    """One panel: a row for each bar, best first below ours, and the ceiling as a dashed line."""
    bars = _contestants(block)
    for row, bar in enumerate(bars):
        _draw_bar(axes, row, bar, findings)
    for bar in block.bars:
        if bar.kind == "ceiling":
            _draw_ceiling(axes, bar)
    axes.set_yticks(range(len(bars)), [short(bar.title) for bar in bars])
    axes.set_ylim(len(bars) - 0.4, -1.0 if len(bars) < len(block.bars) else -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_title(
        f"{short(block.learner, 34)}, {block.per_class} per {wording.group(findings.task.metric)}", loc="left"
    )
    for label, bar in zip(axes.get_yticklabels(), bars, strict=True):
        label.set_fontweight(_weight(bar))


def _draw_bar(axes: Axes, row: int, bar: Bar, findings: Findings) -> None:
    colour = OURS if bar.kind == "ours" else OTHER
    factor = bar.scale.factor
    trials = [factor * score.value for score in findings.scores if _belongs(score, bar)]
    axes.plot(*_ticks(trials, row), color=colour, alpha=0.45, linewidth=0.7)
    if bar.interval:
        ends = [factor * end for end in bar.interval]
        axes.plot(ends, [row, row], color=colour, alpha=0.4, linewidth=6, solid_capstyle="round")
    axes.plot([factor * bar.mean], [row], "o", color=colour, markersize=6.5, gid=f"bar-{findings.bars.index(bar)}")
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "color": colour}
    axes.text(1.015, row, bar.scale.number(bar.mean), fontweight=_weight(bar), **beside)


def _draw_ceiling(axes: Axes, bar: Bar) -> None:
    if bar.interval:
        axes.axvspan(*(bar.scale.factor * end for end in bar.interval), color=CEILING, alpha=0.15, linewidth=0)
    place = bar.scale.factor * bar.mean
    axes.axvline(place, color=CEILING, linestyle=(0, (4, 3)), linewidth=1.3)
    to_the_right = place < sum(axes.get_xlim()) / 2
    axes.annotate(
        f"full data {bar.scale.number(bar.mean)}",
        (place, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4 if to_the_right else -4, -3),
        textcoords="offset points",
        ha="left" if to_the_right else "right",
        va="top",
        color=CEILING,
    )


def _weight(bar: Bar) -> str:
    return "bold" if bar.kind == "ours" else "normal"


def _belongs(score: Score, bar: Bar) -> bool:
    return all(getattr(score, name) == getattr(bar, name) for name in ("method", "learner", "per_class"))


def _ticks(values: list[float], row: int) -> tuple[list[float], list[float]]:
    """A short vertical stroke for each value, as one broken line: far smaller in SVG than a marker each."""
    strokes = [(value, row + 0.2, row + 0.36) for value in values]
    across = [x for value, _, _ in strokes for x in (value, value, math.nan)]
    down = [y for _, top, bottom in strokes for y in (top, bottom, math.nan)]
    return across, down


def _range(findings: Findings) -> tuple[float, float]:
    """Everything that is drawn, with air around it; shares within 0 to 100."""
    read = scale(findings.task.metric)
    values = [value for bar in findings.bars for value in (bar.mean, *(bar.interval or ()))]
    values += [score.value for score in findings.scores]
    known = [read.factor * value for value in values if math.isfinite(value)] or [0.0, 100.0]
    air = max(2.0 if read.unit else 0.0, 0.06 * (max(known) - min(known))) or 1.0
    return max(0.0, min(known) - air), min(100.0 if read.unit else math.inf, max(known) + air)


def _points(curve: Curve, name: str) -> list[tuple[float, float]]:
    """(step, value) of the rows that have this value, averaged in runs when there are too many to draw."""
    found = [(row["step"], row[name]) for row in curve if row.get(name) is not None]
    run = math.ceil(len(found) / MOST_POINTS) or 1
    return [_mean(found[start : start + run]) for start in range(0, len(found), run)]


def _mean(points: Iterable[tuple[float, float]]) -> tuple[float, float]:
    steps, values = zip(*points, strict=True)
    return sum(steps) / len(steps), sum(values) / len(values)


def _draw_line(axes: Axes, points: list[tuple[float, float]], name: str, colour: str, form: str) -> None:
    if points:
        width = 1.6 if "o" in form else 1.0
        axes.plot(*zip(*points, strict=True), form, color=colour, label=name, markersize=3.5, linewidth=width)
    axes.grid(axis="y")
