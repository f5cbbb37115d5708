"""Figures of a search: how the best score grew, what each setting matters, and how scores follow each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dilm.reports.drawing import CEILING, OTHER, OURS, canvas, inline, legend, short, style
from dilm.reports.searched import Searched, Tried, setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = 9
"""Settings whose slices are drawn, the most important ones."""
COLUMNS = 2


def history(found: Searched) -> str:
    """Every score by its trial's number, and the best so far; "" where no trial was finished."""
    done = found.of("complete")
    if not done:
        return ""
    from matplotlib.ticker import MaxNLocator

    with style("history"):
        figure = canvas(2.6)
        axes = figure.subplots()
        for trial in done:
            _interval(axes, found, trial)
        pruned = [trial for trial in found.of("pruned") if trial.value is not None]
        _dots(axes, _by_number(found, pruned), "x", OTHER, "stopped early (score on the way)")
        _dots(axes, _by_number(found, done), "o", OURS, "finished")
        best = [_height(found, min(done[: at + 1], key=found.place).value) for at in range(len(done))]
        axes.step(
            [trial.number for trial in done], best, where="post", color=CEILING, linewidth=1.1, label="best so far"
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("trial")
        axes.set_ylabel(f"{found.scale.axis}, on dev rows")
        axes.grid(axis="y")
        legend(axes)
        return inline(figure, "history", "Dev score of every trial, and the best so far")


def importance(found: Searched) -> str:
    """The share of the variance that each setting explains; "" where that is not known."""
    if not found.importances:
        return ""
    names = list(found.importances)[::-1]
    with style("importance"):
        figure = canvas(0.3 * len(names) + 0.8)
        axes = figure.subplots()
        shares = [100 * found.importances[name] for name in names]
        axes.barh([short(name, 34) for name in names], shares, color=OURS, height=0.62)
        for place, share in enumerate(shares):
            axes.text(share, place, f" {share:.0f} %", va="center")
        axes.set_xlim(0, max(shares) * 1.18)
        axes.set_xlabel("share of the scores' variance (%)")
        axes.tick_params(axis="y", length=0)
        return inline(figure, "importance", "Importance of each setting")


def slices(found: Searched) -> str:
    """Finished scores by the values of each setting, a panel each; "" where no trial was finished."""
    names = [name for name in found.importances or found.space if name in found.space][:PANELS]
    if not found.of("complete") or not names:
        return ""
    lines = -(-len(names) // COLUMNS)
    with style("slices"):
        figure = canvas(1.75 * lines + 0.2)
        panels = figure.subplots(lines, COLUMNS, sharey=True, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=False):
            _slice(axes, found, name)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        return inline(figure, "slices", "Dev score by the value of each setting")


def _slice(axes: Axes, found: Searched, name: str) -> None:
    wanted, done = found.space[name], [trial for trial in found.of("complete") if name in trial.settings]
    if "choices" in wanted:
        names = [setting(choice) for choice in wanted["choices"]]
        places = [float(names.index(setting(trial.settings[name]))) for trial in done]
        axes.set_xticks(range(len(names)), [short(each, 14) for each in names], rotation=20)
        axes.set_xlim(-0.6, len(names) - 0.4)
    else:
        places = [float(trial.settings[name]) for trial in done]
        if wanted.get("log"):
            _logarithmic(axes)
            axes.set_xlim(wanted["low"] / 1.2, wanted["high"] * 1.2)
    points = [(at, _height(found, trial.value)) for at, trial in zip(places, done, strict=True)]
    _dots(axes, points, "o", OURS, "")
    best = [point for point, trial in zip(points, done, strict=True) if trial is found.best]
    _dots(axes, best, "D", CEILING, "")
    axes.set_title(short(name, 30), loc="left")
    axes.grid(axis="y")


def _height(found: Searched, value: float | None) -> float:
    """Where a score is drawn."""
    return found.scale.factor * (value or 0.0)


def _by_number(found: Searched, trials: list[Tried]) -> list[tuple[float, float]]:
    return [(trial.number, _height(found, trial.value)) for trial in trials]


def _dots(axes: Axes, points: list[tuple[float, float]], mark: str, colour: str, label: str) -> None:
    if points:
        places, values = zip(*points, strict=True)
        axes.plot(places, values, mark, color=colour, markersize=4, linestyle="none", label=label or None)


def _interval(axes: Axes, found: Searched, trial: Tried) -> None:
    """One standard error to either side."""
    if trial.error is not None and trial.value is not None:
        ends = [_height(found, trial.value + side) for side in (-trial.error, trial.error)]
        axes.plot([trial.number] * 2, ends, color=OURS, alpha=0.35, linewidth=3)


def _logarithmic(axes: Axes) -> None:
    """Plain numbers: powers would be set as formulas, which a page cannot show."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
