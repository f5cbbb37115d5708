"""Several runs side by side: who is how good, with which learner, at which size, and for what cost.

Only what was scored on the same rows after training on the same data stands in one table. A baseline that several runs
measured is shown once, as the run measured it that repeated it most. Runs of different sizes are one method; where two
have the same size, each run's own sets carry the run's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dilm.reports import wording
from dilm.reports.findings import Bar, Findings
from dilm.reports.methods import NEAREST

OWN = ("ours", "ablation", "variant")
"""Kinds of methods that are a run's own; so are the real rows that are nearest to its texts."""

DISTILLING = ("pretrain", "fit", "match", "generate", "select")
"""Stages that a set costs; loading, scoring and reporting are not charged to it."""

NOTHING = "-"


@dataclass(frozen=True)
class Entrant:
    """One run in the comparison."""

    name: str
    findings: Findings
    data: str
    """What identifies its data: only runs with equal data are compared."""

    @property
    def seconds(self) -> float:
        """Wall-clock time of all stages that made the set, without what they did for baselines."""
        made = [cost for cost in self.findings.costs if cost.stage in DISTILLING]
        return sum(cost.seconds if cost.own_seconds is None else cost.own_seconds for cost in made)


@dataclass(frozen=True)
class Cell:
    """One method with one learner at one size."""

    method: str
    """The method's name for readers, or the run's for its own sets."""
    kind: str
    learner: str
    per_class: int
    bar: Bar
    seconds: float | None = None
    """What the set cost, where a run made it."""


@dataclass(frozen=True)
class Field:
    """Runs on the same data, and everything that was measured on it."""

    title: str
    metric: str
    entrants: tuple[Entrant, ...]
    cells: tuple[Cell, ...]

    @property
    def learners(self) -> tuple[str, ...]:
        """In the order of their first appearance."""
        return tuple(dict.fromkeys(cell.learner for cell in self.cells))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Examples per class, ascending; full data has none."""
        return tuple(sorted({cell.per_class for cell in self.cells if cell.kind != "ceiling"}))

    @property
    def methods(self) -> tuple[str, ...]:
        """Runs' own sets first, then baselines by their best mean, then full data."""
        order = {"ours": 0, "ablation": 1, "variant": 3, "ceiling": 4}
        best: dict[str, tuple[int, float, str]] = {}
        for cell in self.cells:
            place = (order.get(cell.kind, 2), -cell.bar.mean, cell.method)
            best[cell.method] = min(best.get(cell.method, place), place)
        return tuple(sorted(best, key=lambda method: best[method]))

    def find(self, method: str, learner: str, per_class: int) -> Cell | None:
        """The cell of a table; full data stands in for every size."""
        wanted = (method, learner)
        return next(
            (
                cell
                for cell in self.cells
                if (cell.method, cell.learner) == wanted and (cell.per_class == per_class or cell.kind == "ceiling")
            ),
            None,
        )


def fields(entrants: Iterable[Entrant]) -> tuple[Field, ...]:
    """Entrants grouped by their data, in the order in which they came."""
    groups: dict[str, list[Entrant]] = {}
    for entrant in entrants:
        groups.setdefault(entrant.data, []).append(entrant)
    names = [group[0].findings.task.name for group in groups.values()]
    return tuple(
        Field(
            title=name if names.count(name) == 1 else f"{name}, data {data[:8]}",
            metric=wording.metric(group[0].findings.task.metric),
            entrants=tuple(group),
            cells=_cells(group),
        )
        for name, (data, group) in zip(names, groups.items(), strict=True)
    )


def header(field: Field) -> tuple[str, ...]:
    """Columns of a learner's table."""
    return ("method", *(f"{size} per class" for size in field.sizes))


def rows(field: Field, learner: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(kind, cells in words) of each method that this learner was trained with."""
    found = []
    for method in field.methods:
        cells = [field.find(method, learner, size) for size in field.sizes]
        known = next((cell for cell in cells if cell), None)
        if known:
            found.append((known.kind, (method, *(_said(cell) for cell in cells))))
    return tuple(found)


def plain(compared: Iterable[Field]) -> dict[str, Any]:
    """The comparison as JSON values."""
    return {
        "tasks": [
            {
                "task": field.title,
                "metric": field.metric,
                "runs": [{"run": each.name, "seconds": each.seconds} for each in field.entrants],
                "results": [_plain_cell(cell) for cell in field.cells],
            }
            for field in compared
        ]
    }


def _plain_cell(cell: Cell) -> dict[str, Any]:
    names = ("mean", "low", "high", "sets", "seeds")
    return {
        "method": cell.method,
        "learner": cell.learner,
        "per_class": cell.per_class,
        **{name: getattr(cell.bar, name) for name in names},
        "seconds": cell.seconds,
    }


def _said(cell: Cell | None) -> str:
    if cell is None:
        return NOTHING
    if cell.bar.interval is None:
        return f"{100 * cell.bar.mean:.1f}"
    low, high = (100 * end for end in cell.bar.interval)
    return f"{100 * cell.bar.mean:.1f} ({low:.1f} to {high:.1f})"


def _cells(group: list[Entrant]) -> tuple[Cell, ...]:
    sizes = [entrant.findings.per_class for entrant in group]
    named = len(set(sizes)) < len(sizes)  # two runs of one size must be told apart; sizes of one suite are one method
    found: dict[tuple[str, str, int], Cell] = {}
    for entrant in group:
        for bar in entrant.findings.bars:
            cell = _cell(entrant, bar, named)
            place = (cell.method, cell.learner, cell.per_class)
            if place not in found or _repeats(bar) > _repeats(found[place].bar):
                found[place] = cell
    return tuple(found.values())


def _cell(entrant: Entrant, bar: Bar, named: bool) -> Cell:
    own = bar.kind in OWN or bar.method == NEAREST
    name = _own_name(entrant, bar) if own and named else bar.title.removesuffix(" (this run)")
    return Cell(name, bar.kind, bar.learner, bar.per_class, bar, entrant.seconds if own else None)


def _own_name(entrant: Entrant, bar: Bar) -> str:
    return entrant.name if bar.kind == "ours" else f"{entrant.name}, {bar.title.lower()}"


def _repeats(bar: Bar) -> int:
    return bar.sets * bar.seeds


def examples(field: Field, most: int) -> Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """Of each run, class by class, the first texts of its product: run -> (class, texts)."""
    return {
        entrant.name: tuple(
            (label, tuple(" / ".join(row.texts) for row in entrant.findings.distilled.of(number)[:most]))
            for number, label in enumerate(entrant.findings.task.labels)
        )
        for entrant in field.entrants
    }
