"""What a report is made of: everything that one run found, in one immutable value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dilm.numerics.metrics import recovery
from dilm.reports import methods
from dilm.reports.audit import Audit
from dilm.reports.scales import Scale, scale
from dilm.types import Dataset, Provenance, Score, Task

Curve = tuple[Mapping[str, float], ...]
"""Rows as they were logged: `step` and whatever was measured at that step."""


class Summarised(Protocol):
    """What a bar is made from: the trials of one method, learner and size in one line."""

    @property
    def method(self) -> str: ...
    @property
    def learner(self) -> str: ...
    @property
    def per_class(self) -> int: ...
    @property
    def mean(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def sets(self) -> int: ...
    @property
    def seeds(self) -> int: ...


class Differing(Protocol):
    """What a gap is made from: how much better a method is than another in the same trials."""

    @property
    def mean(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def p(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Gap:
    """How much better ours is than another method, seed by seed: the mean difference and its 95 % interval."""

    mean: float
    low: float
    high: float
    p: float | None = None
    """Two-sided, of no difference; of this one comparison, whatever others are made."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The mean of a method's trials with one learner, and its 95 % interval where there is more than one trial."""

    method: str
    learner: str
    per_class: int
    """0 for full data."""
    mean: float
    """In the task's metric."""
    low: float | None
    high: float | None
    sets: int
    seeds: int
    """Trainings on each set."""
    kind: str
    """The method's part in the comparison, see `methods.Kind`."""
    gap: Gap | None = None
    """How far ours is ahead of it; None for ours, and where too little was repeated to tell."""
    metric: str = "accuracy"

    @property
    def scale(self) -> Scale:
        """How its numbers are read."""
        return scale(self.metric)

    @property
    def title(self) -> str:
        """The method's name for readers."""
        return methods.describe(self.method).title

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the 95 % interval, or None after a single trial."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def bar(summary: Summarised, ahead: Differing | None = None, metric: str = "accuracy") -> Bar:
    """The bar of a summary, and how far ours is `ahead` of it; its kind follows from the name of its method."""
    return Bar(
        method=summary.method,
        learner=summary.learner,
        per_class=summary.per_class,
        mean=summary.mean,
        low=summary.low,
        high=summary.high,
        sets=summary.sets,
        seeds=summary.seeds,
        kind=methods.describe(summary.method).kind,
        gap=_gap(ahead),
        metric=metric,
    )


def _gap(ahead: Differing | None) -> Gap | None:
    if ahead is None or ahead.low is None or ahead.high is None:
        return None
    return Gap(ahead.mean, ahead.low, ahead.high, ahead.p)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one stage took."""

    stage: str
    seconds: float
    peak_mb: float | None = None
    tokens: int | None = None
    """That models read and wrote."""
    own_seconds: float | None = None
    """Without what the stage did for baselines; None where that is not told apart."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Something measured on the texts themselves, in words."""

    name: str
    value: str | None
    """None where it could not be measured."""
    beside: str | None
    """The same of as many random real rows, where that says something."""
    meaning: str
    reason: str = ""
    """Why it could not be measured."""


@dataclass(frozen=True, slots=True)
class Personal:
    """What was found of personal data in the rows, in counts."""

    operator: str
    """What became of it."""
    detectors: Sequence[str]
    rows: Mapping[str, int]
    """Split to rows that were looked at."""
    touched: Mapping[str, int]
    """Split to rows with a finding."""
    kinds: Mapping[str, int]
    by_kind: Sequence[Mapping[str, Any]]
    """`kind`, a count for each split, and `all`."""
    note: str
    """What this is not."""


@dataclass(frozen=True)
class Findings:
    """A run's results, as its readers need them."""

    task: Task
    distilled: Dataset
    """The small set itself."""
    per_class: int
    provenance: Provenance
    scores: tuple[Score, ...] = ()
    """One per trial: the rows of `scores.jsonl`."""
    bars: tuple[Bar, ...] = ()
    """One per method, learner and size: the scores in summary."""
    curves: Mapping[str, Curve] | None = None
    """`fit` logs train_nll and dev_nll, `match` logs similarity and dev_score; any of them may be missing in a row."""
    rejected: Mapping[str, Mapping[str, int]] | None = None
    """Pool to reason to rows; the reason `kept` counts those that were not rejected."""
    recipe: Mapping[str, Any] | None = None
    costs: tuple[Cost, ...] = ()
    text: tuple[Measure, ...] = ()
    """What the texts are like, apart from what models learn from them."""
    splits: Mapping[str, int] | None = None
    """Rows of train, dev and test."""
    scored: int = 0
    """Rows of the test split that learners were scored on; 0: nobody counted."""
    notes: tuple[str, ...] = ()
    """What a reader must know and no number says, in whole sentences."""
    personal: Personal | None = None
    """None where rows were not anonymized."""
    audit: Audit | None = None
    """None where nobody has looked for leaks."""

    @property
    def real_rows(self) -> str:
        """How many of the examples no model wrote, for a sentence; "" where it wrote all."""
        count, whole = len(self.provenance.real_rows), len(self.distilled)
        verb = "are" if self.task.packed == 1 else "hold"
        return f"{count} of {whole} rows {verb} real rows of the training data" if count else ""

    @property
    def rewritten(self) -> str:
        """How many of the examples are rewritten, for a sentence; "" where none is."""
        count, whole = len(self.provenance.rewritten), len(self.distilled)
        return f"{count} of {whole} texts were rewritten or merged by an instruction-tuned model" if count else ""

    def curve(self, stage: str) -> Curve:
        """What `stage` logged, or nothing."""
        return tuple((self.curves or {}).get(stage, ()))

    def rows(self, split: str) -> int:
        """Rows of a split, 0 when they were not counted."""
        return (self.splits or {}).get(split, 0)


@dataclass(frozen=True, slots=True)
class Beside:
    """A bar beside random rows and full data; None where one of these was not measured, or is the bar itself."""

    ahead_of_random: float | None
    of_full: float | None
    """Its mean as a share of full data's; the other way round where less is better."""
    recovery: float | None
    """Share of the gap between random rows and full data that it closes; None where there is no gap."""


@dataclass(frozen=True, slots=True)
class Block:
    """The bars that may be compared with one another: one learner, one number of examples per class."""

    learner: str
    per_class: int
    bars: tuple[Bar, ...]
    """Ours, then the others from best to worst, then variants, then full data."""

    def find(self, method: str) -> Bar | None:
        """The bar of a method, if it was measured."""
        return next((bar for bar in self.bars if bar.method == method), None)

    @property
    def contenders(self) -> tuple[Bar, ...]:
        """What ours must be compared with: baselines and users' own sets, best first."""
        return tuple(bar for bar in self.bars if bar.kind in ("baseline", "rival"))


def beside(bar: Bar, block: Block) -> Beside:
    """How a bar stands to random rows and to full data of its block."""
    random, full = block.find(methods.RANDOM), block.find(methods.CEILING)
    below = random if random and bar not in (random, full) else None
    above = full if full and bar != full else None
    read = bar.scale
    return Beside(
        ahead_of_random=read.better(bar.mean, below.mean) if below else None,
        of_full=read.share(bar.mean, above.mean) if above else None,
        recovery=recovery(*(read.sign * each.mean for each in (bar, below, above))) if below and above else None,
    )


def blocks(findings: Findings) -> tuple[Block, ...]:
    """The bars grouped into blocks: learners in their order of appearance, the run's own size before other sizes."""
    learners = tuple(dict.fromkeys(bar.learner for bar in findings.bars))
    return tuple(
        Block(learner, size, _ordered(findings, learner, size))
        for learner in learners
        for size in _sizes(findings, learner)
    )


def _sizes(findings: Findings, learner: str) -> list[int]:
    """Sizes that a learner was trained on, ours first; a learner with full data alone has a block of ours."""
    sizes = {bar.per_class for bar in findings.bars if bar.learner == learner and bar.kind != "ceiling"}
    return sorted(sizes or {findings.per_class}, key=lambda size: (size != findings.per_class, size))


def _ordered(findings: Findings, learner: str, size: int) -> tuple[Bar, ...]:
    places = {"ours": 0, "variant": 2, "ceiling": 3}
    same = [bar for bar in findings.bars if bar.learner == learner]
    found = [bar for bar in same if bar.per_class == size or bar.kind == "ceiling"]
    return tuple(sorted(found, key=lambda bar: (places.get(bar.kind, 1), bar.scale.better(0.0, bar.mean), bar.method)))
