"""Writing the pool: many texts per class, the bad ones rejected and counted (paper 3.3: 100 times too many)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from dilm.errors import ModelError
from dilm.protocols import Generator
from dilm.types import Dataset, Draft, Example, Task

KEPT = "kept"
FLAGGED = "flagged"
SMALLEST_DRAW = 32
"""Drafts asked for at once at least: the last missing text should not cost many draws of one."""


Flags = Callable[[tuple[str, ...]], bool]


@dataclass
class Pool:
    """Good texts of one class so far, and how many drafts were kept or rejected for which reason."""

    task: Task
    condition: int
    examples: list[Example] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    seen: set[tuple[str, ...]] = field(default_factory=set)
    flags: Flags | None = None
    """Asked last, because it takes longest: is there anything in these texts that must not leave?"""

    def add(self, draft: Draft) -> None:
        """Judge one draft, count the verdict, keep the text if it is good and new."""
        verdict = judge(draft, self.task)
        if verdict == KEPT and draft.texts in self.seen:
            verdict = "duplicate"
        if verdict == KEPT and self.flags and self.flags(draft.texts):
            verdict = FLAGGED
        self.verdicts[verdict] += 1
        if verdict == KEPT:
            self.seen.add(draft.texts)
            self.examples.append(Example(draft.texts, self.condition))


def judge(draft: Draft, task: Task) -> str:
    """`kept`, or why not: `too long` (no end token), `malformed` (wrong number of fields), `empty` (a field)."""
    if not draft.finished:
        return "too long"
    if len(draft.texts) != len(task.fields):
        return "malformed"
    return KEPT if all(draft.texts) else "empty"


def is_well_formed(draft: Draft, task: Task) -> bool:
    """Whether a draft could enter a pool."""
    return judge(draft, task) == KEPT


def write_pool(
    generator: Generator,
    per_class: int,
    attempts: int,
    rng: torch.Generator,
    advance: Callable[[int], None],
    flags: Flags | None = None,
) -> tuple[Dataset, Counter[str]]:
    """`per_class` distinct texts of every class, class by class, and the verdicts on all drafts.

    A text that `flags` is true of is rejected like any other bad one, not mended: texts are cheap, and a mended one
    would be none that the generator wrote. Raises ModelError when `attempts` times as many drafts did not give enough
    good ones.
    """
    pools = [Pool(generator.task, condition, flags=flags) for condition in generator.task.conditions]
    for pool in pools:
        _fill(pool, generator, per_class, attempts, rng, advance)
    verdicts = sum((pool.verdicts for pool in pools), Counter[str]())
    return Dataset(generator.task, [example for pool in pools for example in pool.examples]), verdicts


def _fill(
    pool: Pool,
    generator: Generator,
    wanted: int,
    attempts: int,
    rng: torch.Generator,
    advance: Callable[[int], None],
) -> None:
    while len(pool.examples) < wanted:
        missing = wanted - len(pool.examples)
        if pool.verdicts.total() + missing > attempts * max(wanted, SMALLEST_DRAW):
            raise _cannot_fill(pool, wanted)
        drafts = iter(generator.sample(pool.condition, max(missing, SMALLEST_DRAW), rng))
        while len(pool.examples) < wanted and (draft := next(drafts, None)):
            pool.add(draft)
        advance(len(pool.examples) - wanted + missing)


def _cannot_fill(pool: Pool, wanted: int) -> ModelError:
    rejected = ", ".join(f"{count} {reason}" for reason, count in pool.verdicts.most_common() if reason != KEPT)
    return ModelError(
        f"The generator gave {len(pool.examples)} good texts of class {pool.task.labels[pool.condition]!r}, "
        f"not {wanted}, in {pool.verdicts.total()} attempts (rejected: {rejected}).",
        "Many duplicates: lower `generate.oversample` and `match.check_oversample`, or raise `generate.temperature`. "
        "Many malformed or too long: train longer (`fit.steps`) or raise `models.max_tokens`. "
        "Many flagged: narrow `anonymize.kinds`.",
    )
