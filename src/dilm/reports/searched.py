"""What a search tried and found: the nouns of its page, its record as plain values, and its table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dilm.reports.scales import Scale, scale
from dilm.reports.table import markdown_table
from dilm.reports.wording import percent

KINDS = {
    "complete": "finished",
    "pruned": "stopped early",
    "fail": "failed",
    "running": "under way",
    "waiting": "queued",
}
"""Optuna's states in words."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial."""

    number: int
    state: str
    """complete, pruned, fail, running or waiting."""
    settings: Mapping[str, Any]
    value: float | None = None
    """Mean dev score in the task's metric; of a pruned trial the last one on the way."""
    error: float | None = None
    """Standard error of the mean, over sets."""
    seconds: float | None = None
    learners: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    """Why it failed, or of which trial it is the second try."""
    shared: tuple[str, ...] = ()
    """Stages that it took from other trials."""


@dataclass(frozen=True, slots=True)
class Searched:
    """A whole search."""

    task: str
    metric: str
    wanted: int
    """Trials asked for."""
    space: Mapping[str, Any]
    trials: Sequence[Tried]
    importances: Mapping[str, float]

    @property
    def scale(self) -> Scale:
        """How scores are read."""
        return scale(self.metric)

    @property
    def best(self) -> Tried | None:
        """The finished trial of the best score; of equal ones the earliest."""
        return min(self.of("complete"), key=self.place, default=None)

    def place(self, trial: Tried) -> tuple[bool, float]:
        """Trials are in this order from the best on, those without a score behind the others."""
        return trial.value is None, -self.scale.sign * (trial.value or 0.0)

    def score(self, trial: Tried) -> str:
        """A trial's mean with its standard error."""
        if trial.value is None:
            return "-"
        read = self.scale
        return read.value(trial.value) + (f" ± {read.number(trial.error)}" if trial.error is not None else "")

    def of(self, *states: str) -> list[Tried]:
        """Trials in these states, in their order."""
        return [trial for trial in self.trials if trial.state in states]

    @property
    def counted(self) -> str:
        """How many trials ended how.

        >>> Searched("t", "accuracy", 3, {}, [Tried(0, "complete", {}, 0.5), Tried(1, "fail", {})], {}).counted
        '1 finished, 1 failed'
        """
        counts = {words: len(self.of(state)) for state, words in KINDS.items()}
        return ", ".join(f"{count} {words}" for words, count in counts.items() if count)


def plain(searched: Searched) -> dict[str, Any]:
    """As JSON has it."""
    return asdict(searched) | {"best": searched.best and searched.best.number}


def header(searched: Searched) -> tuple[str, ...]:
    """Names of the columns: a setting each between the score and the rest."""
    return ("trial", "dev score", *searched.space, "seconds", "how it ended")


def rows(searched: Searched) -> list[tuple[str, tuple[str, ...]]]:
    """Kind and cells of every trial, the best first, then by score, failures last."""
    best = searched.best
    ordered = sorted(searched.trials, key=lambda t: (t.state != "complete", *searched.place(t), t.number))
    kinds = {best.number: "ours"} if best else {}
    return [(kinds.get(trial.number, ""), _cells(trial, searched.score(trial), searched.space)) for trial in ordered]


def setting(value: Any) -> str:
    """A setting's value, short enough for a table.

    >>> setting(0.000123456), setting(40), setting("typical")
    ('0.000123', '40', 'typical')
    """
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _cells(trial: Tried, score: str, names: Iterable[str]) -> tuple[str, ...]:
    said = (setting(trial.settings[name]) if name in trial.settings else "-" for name in names)
    ended = KINDS[trial.state] + (f": {trial.note}" if trial.note else "")
    return (
        str(trial.number),
        score,
        *said,
        "-" if trial.seconds is None else f"{trial.seconds:.0f}",
        ended,
    )


def markdown(searched: Searched) -> str:
    """The table of trials, and what each setting matters."""
    less = "" if searched.scale.sign > 0 else " (less is better)"
    about = f"{searched.task}: mean {searched.metric}{less} on dev rows ± its standard error over sets; "
    about += f"{searched.counted}."
    parts = [markdown_table(about, header(searched), rows(searched))]
    if searched.importances:
        lines = [("", (name, percent(share))) for name, share in searched.importances.items()]
        parts.append(markdown_table("Importance: share of the scores' variance (fANOVA).", ("setting", "share"), lines))
    return "\n\n".join(parts) + "\n"
