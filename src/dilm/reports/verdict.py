"""The one sentence that a reader takes away, computed from the numbers and never kinder than they are.

A difference is claimed only where its 95 % interval, taken over trials that share their seeds, leaves out zero. Where
too little was repeated for that, only where the intervals of the two means do not overlap, which is stricter. So "no
difference shown" never means "equal".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dilm.reports import methods, wording
from dilm.reports.findings import Bar, Block, Findings, blocks
from dilm.reports.scales import Scale

Standing = Literal["above", "level", "below", "unclear"]
Tone = Literal["good", "even", "bad", "open"]

FEW_TRIALS = 5
"""Below this many trials an interval is itself a guess."""

JUDGEMENTS: dict[Standing, str] = {
    "above": "These examples do better: the intervals do not overlap.",
    "level": "The intervals overlap: no difference shown.",
    "below": "These examples do worse: the intervals do not overlap.",
    "unclear": "A single trial has no interval, so no difference can be claimed.",
}

OPENINGS: dict[Standing, str] = {
    "above": "These examples do better",
    "level": "No difference shown",
    "below": "These examples do worse",
}

BADGES: dict[Standing, tuple[Tone, str]] = {
    "below": ("bad", "Behind {}"),
    "level": ("even", "No difference shown from {}"),
    "unclear": ("open", "Too few trials to compare with {}"),
}
"""In order of weight: one contender ahead of ours outweighs all that are behind."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to believe: a badge of a few words, a sentence, what it is compared with, and what weakens it."""

    tone: Tone
    badge: str
    headline: str
    details: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()


def verdict(findings: Findings) -> Verdict:
    """The verdict on the first learner that was trained on the run's own examples; the others follow as details."""
    own_size = [block for block in blocks(findings) if block.per_class == findings.per_class]
    measured = [block for block in own_size if block.find(methods.OURS)]
    if not measured:
        return Verdict(
            "open",
            "Not measured",
            f"Nothing was trained on these {wording.count(len(findings.distilled), 'example')} yet.",
            ("Evaluate the run to compare them with real rows.",),
        )
    first, *others = measured
    tone, badge = _badge(first)
    details = (*_comparisons(findings, first), *(_transfer(findings, block) for block in others))
    return Verdict(tone, badge, _headline(findings, first), details, _caveats(first))


def compare(ours: Bar, other: Bar) -> Standing:
    """How ours stands to another bar, as far as their paired difference tells, or else their intervals."""
    if other.gap:
        return "above" if other.gap.low > 0 else "below" if other.gap.high < 0 else "level"
    if ours.interval is None or other.interval is None:
        return "unclear"
    above, below = ours.interval[0] > other.interval[1], ours.interval[1] < other.interval[0]
    if above or below:
        return "above" if above == (ours.scale.sign > 0) else "below"
    return "level"


def judgement(ours: Bar, other: Bar) -> str:
    """The standing in a sentence, with the difference where it was taken in pairs."""
    standing = compare(ours, other)
    if other.gap is None:
        return JUDGEMENTS[standing]
    points = " points" if other.scale.unit else ""
    return (
        f"{OPENINGS[standing]}: {other.scale.gap(other.gap.mean, other.gap.low, other.gap.high)}{points}, seed by seed."
    )


def measure(bar: Bar) -> str:
    """A mean with its interval, in words."""
    mean = bar.scale.value(bar.mean)
    if bar.interval is None:
        return f"{mean}, one trial"
    return f"{mean}, 95 % interval {' to '.join(map(bar.scale.number, bar.interval))}"


def _badge(block: Block) -> tuple[Tone, str]:
    """The gravest standing to any contender, best contender first; a win only when ours is above them all."""
    ours = block.find(methods.OURS)
    assert ours is not None
    standings = [(compare(ours, other), methods.phrase(other.method)) for other in block.contenders]
    for standing, (tone, words) in BADGES.items():
        name = next((name for found, name in standings if found == standing), None)
        if name is not None:
            return tone, words.format(name)
    return ("good", "Ahead of every baseline measured") if standings else ("open", "No baseline measured")


def _headline(findings: Findings, block: Block) -> str:
    ours = block.find(methods.OURS)
    assert ours is not None
    examples = wording.count(len(findings.distilled), "example")
    read = ours.scale
    reached = _reached(read, ours.mean)
    if ours.interval is None:
        return f"One model trained on these {examples} reached {reached}."
    low, high = map(read.number, ours.interval)
    which = f"these {examples}" if ours.sets == 1 else f"{examples} like these"
    return f"Models trained on {which} reach {reached} (95 % interval {low} to {high})."


def _reached(read: Scale, mean: float) -> str:
    """A mean and what it is of."""
    if read.unit:
        return f"{read.value(mean)} {read.title}"
    return f"a {read.title} of {read.value(mean)}, of which less is better"


def _comparisons(findings: Findings, block: Block) -> tuple[str, ...]:
    """Random rows, the strongest other contender, ours without matching, and all data: each if it was measured."""
    ours, random = block.find(methods.OURS), block.find(methods.RANDOM)
    assert ours is not None
    strongest = next((other for other in block.contenders if other.method != methods.RANDOM), None)
    shown = [other for other in (random, strongest, block.find("untuned")) if other]
    lines = [f"{other.title}: {measure(other)}. {judgement(ours, other)}" for other in shown]
    full = block.find(methods.CEILING)
    return (*lines, _kept(findings, ours, full)) if full else tuple(lines)


def _kept(findings: Findings, ours: Bar, full: Bar) -> str:
    """How much of what all data gives is left, and from how few rows."""
    rows, small = findings.rows("train"), len(findings.distilled)
    name = f"All {wording.count(rows)} training rows" if rows else full.title
    share = f", with {wording.ratio(small, rows)} of the rows" if rows else ""
    kept = f" These examples keep {wording.percent(ours.mean / full.mean)} of that{share}." if full.mean else ""
    if ours.scale.sign < 0:
        kept = f" That of these examples is {ours.mean / full.mean:.2f} times as much{share}."
    return f"{name}: {measure(full)}.{kept}"


def _transfer(findings: Findings, block: Block) -> str:
    ours = block.find(methods.OURS)
    assert ours is not None
    return f"Another learner, {block.learner}: {measure(ours)}. {_badge(block)[1]}."


def _caveats(block: Block) -> tuple[str, ...]:
    compared = [bar for bar in block.bars if bar.kind != "ceiling"]
    single = [bar.title for bar in compared if bar.sets == 1 and bar.interval]
    caveats = []
    if single:
        caveats.append(
            f"One set was drawn for {', '.join(single)}: "
            "there the interval covers the luck of training, not the luck of drawing the set."
        )
    if any(1 < bar.sets * bar.seeds < FEW_TRIALS for bar in compared):
        caveats.append(f"Some rows rest on fewer than {FEW_TRIALS} trials: take their intervals as rough.")
    return tuple(caveats)
