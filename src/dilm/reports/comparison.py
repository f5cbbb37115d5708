"""Several runs side by side: who is how good, with which learner, at which size, and for what cost.

Only what was scored on the same rows after training on the same data stands in one table. A baseline that several runs
measured is shown once, as the run measured it that repeated it most. Runs of different sizes are one method; where two
have the same size, each run's own sets carry the run's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dilm.reports import methods, wording
from dilm.reports.findings import Bar, Cost, Findings, Gap
from dilm.reports.scales import Scale, scale

OWN = ("ours", "ablation", "variant")
"""Kinds of methods that are a run's own; so are the real rows that are nearest to its texts."""

DISTILLING = ("pretrain", "fit", "match", "generate", "select")
"""Stages that a set costs; loading, scoring and reporting are not charged to it."""

NOTHING = "-"


@dataclass(frozen=True)
class Entrant:
    """One run in the comparison."""

    name: str
    task: str
    metric: str
    per_class: int
    bars: tuple[Bar, ...]
    data: str
    """What identifies its data: only runs with equal data are compared."""
    seconds: float | None = None
    """Wall-clock time of all stages that made the set; None where nothing but scores is known."""
    texts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(class, texts) of its product; nothing where that is not at hand."""

    @classmethod
    def of(cls, name: str, found: Findings, data: str) -> Entrant:
        """A run of which everything is at hand."""
        texts = tuple(
            (label, tuple(" / ".join(row.texts) for row in found.distilled.of(number)))
            for number, label in enumerate(found.task.labels)
        )
        return cls(
            name, found.task.name, found.task.metric, found.per_class, found.bars, data, _made_in(found.costs), texts
        )


def _made_in(costs: Iterable[Cost]) -> float:
    """Seconds of the stages that made a set, without what they did for baselines."""
    made = [cost for cost in costs if cost.stage in DISTILLING]
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
    def scale(self) -> Scale:
        """How its numbers are read."""
        return scale(self.entrants[0].metric)

    @property
    def group(self) -> str:
        """What examples are counted by: a class or a condition."""
        return wording.group(self.entrants[0].metric)

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
            place = (order.get(cell.kind, 2), cell.bar.scale.better(0.0, cell.bar.mean), cell.method)
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
    names = [group[0].task for group in groups.values()]
    return tuple(
        Field(
            title=name if names.count(name) == 1 else f"{name}, data {data[:8]}",
            metric=scale(group[0].metric).title,
            entrants=tuple(group),
            cells=_cells(group),
        )
        for name, (data, group) in zip(names, groups.items(), strict=True)
    )


def header(field: Field) -> tuple[str, ...]:
    """Columns of a learner's table."""
    return ("method", *(f"{size} per {field.group}" for size in field.sizes))


def rows(field: Field, learner: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(kind, cells in words) of each method that this learner was trained with."""
    found = []
    for method in field.methods:
        cells = [field.find(method, learner, size) for size in field.sizes]
        known = next((cell for cell in cells if cell), None)
        if known:
            found.append((known.kind, (method, *(_said(cell) for cell in cells))))
    return tuple(found)


@dataclass(frozen=True)
class Difference:
    """How far ours was ahead of another method in the trials of one run."""

    run: str
    method: str
    kind: str
    learner: str
    per_class: int
    """Of the run; also where it is compared with full data."""
    gap: Gap
    metric: str = "accuracy"


def differences(field: Field) -> tuple[Difference, ...]:
    """Of every run, to each method that it measured in the same trials: its own sets and its own baselines."""
    return tuple(
        Difference(run.name, methods.among_runs(bar.method), bar.kind, bar.learner, run.per_class, bar.gap, bar.metric)
        for run in field.entrants
        for bar in run.bars
        if bar.gap
    )


def ahead_rows(field: Field, learner: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(kind, cells in words) of what ours is compared with, a column for each size, in the order of `rows`.

    Where runs of one size are told apart by their names, each has rows of its own.
    """
    found = [each for each in differences(field) if each.learner == learner]
    lines: dict[str, dict[int, Difference]] = {}
    for each in found:
        name = f"{each.run} against {each.method}" if _are_named(field.entrants) else each.method
        lines.setdefault(name, {})[each.per_class] = each
    order = {method: place for place, method in enumerate(field.methods)}
    placed = sorted(lines, key=lambda name: (order.get(name, -1), name))
    return tuple(
        (next(iter(lines[name].values())).kind, (name, *(_said_gap(lines[name].get(size)) for size in field.sizes)))
        for name in placed
    )


def _said_gap(found: Difference | None) -> str:
    if found is None:
        return NOTHING
    chance = "" if found.gap.p is None else f", p {wording.chance(found.gap.p)}"
    return scale(found.metric).gap(found.gap.mean, found.gap.low, found.gap.high) + chance


def plain(compared: Iterable[Field]) -> dict[str, Any]:
    """The comparison as JSON values."""
    return {
        "tasks": [
            {
                "task": field.title,
                "metric": field.metric,
                "runs": [{"run": each.name, "seconds": each.seconds} for each in field.entrants],
                "results": [_plain_cell(cell) for cell in field.cells],
                "differences": [asdict(each) for each in differences(field)],
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
    read = cell.bar.scale
    mean = read.number(cell.bar.mean)
    return f"{mean} ({' to '.join(map(read.number, cell.bar.interval))})" if cell.bar.interval else mean


def _are_named(group: Sequence[Entrant]) -> bool:
    """Whether two runs have one size and must be told apart; runs of different sizes are one method."""
    return len({entrant.per_class for entrant in group}) < len(group)


def _cells(group: list[Entrant]) -> tuple[Cell, ...]:
    named = _are_named(group)
    found: dict[tuple[str, str, int], Cell] = {}
    for entrant in group:
        for bar in entrant.bars:
            cell = _cell(entrant, bar, named)
            place = (cell.method, cell.learner, cell.per_class)
            if place not in found or _repeats(bar) > _repeats(found[place].bar):
                found[place] = cell
    return tuple(found.values())


def _cell(entrant: Entrant, bar: Bar, named: bool) -> Cell:
    own = bar.kind in OWN or bar.method == methods.NEAREST
    name = _own_name(entrant, bar) if own and named else methods.among_runs(bar.method)
    return Cell(name, bar.kind, bar.learner, bar.per_class, bar, entrant.seconds if own else None)


def _own_name(entrant: Entrant, bar: Bar) -> str:
    """The run's name, and what is not its product as it is: `run`, `run, augmented`, `run, before matching`."""
    part = methods.among_runs(bar.method).removeprefix(methods.among_runs(methods.OURS)).removeprefix(", ")
    return f"{entrant.name}, {part.lower()}" if part else entrant.name


def _repeats(bar: Bar) -> int:
    return bar.sets * bar.seeds


def examples(field: Field, most: int) -> Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    """Of each run whose product is at hand, class by class, its first texts: run -> (class, texts)."""
    return {
        entrant.name: tuple((label, texts[:most]) for label, texts in entrant.texts)
        for entrant in field.entrants
        if entrant.texts
    }
