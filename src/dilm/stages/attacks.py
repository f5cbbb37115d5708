"""The audit's attacks on a run: each asks live objects of the bench for scores or counts, and returns findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from dilm import cleaning, planting, private
from dilm.build import Bench
from dilm.errors import DataError, ModelError
from dilm.evaluation.contamination import compare
from dilm.evaluation.finetune import finetune
from dilm.generators import is_scratch, named
from dilm.models.mixture import AnyGenerator
from dilm.numerics.words import joined
from dilm.privacy import figures
from dilm.privacy.bigrams import Bigrams
from dilm.privacy.canaries import Canaries
from dilm.privacy.copying import copying, distance_ratio
from dilm.privacy.disclosures import Rows, copied_rows, disclosures
from dilm.privacy.figures import told_apart
from dilm.privacy.findings import About, Finding
from dilm.privacy.membership import by_loss, by_min_k, by_reference
from dilm.privacy.pii import Panel, open_presidio
from dilm.privacy.replay import SHAPES, looking, replay
from dilm.runtime.seeding import derive
from dilm.schedules import trial_schedule
from dilm.types import Dataset, Example

TRAININGS = {"quick": 1, "full": 5}
"""Trainings of a learner on the released texts, whose losses are averaged."""


@dataclass(frozen=True)
class Sides:
    """Rows to be told apart, as many of either kind, and all that there are."""

    form: str
    members: Dataset
    others: Dataset
    train: Dataset
    """Without canaries; on either side only rows that are comparable (`disclosures.comparable`)."""
    held_out: Dataset
    released: Dataset
    pool: Dataset
    """Texts that the product was chosen from, as many as there are members, or all."""


def of_copying(bench: Bench, sides: Sides) -> list[Finding]:
    """What the product and its pool share with rows of either kind."""
    rows, span = Rows.of(as_texts(sides.train), as_texts(sides.held_out)), bench.recipe.audit.span
    away = [1 - _nearness(bench, sides.released, side) for side in (sides.members, sides.others)]
    count = f"{len(sides.released):,} texts, {len(sides.members):,} rows a side"
    found = [figures.nearer(distance_ratio(away[0], away[1]), count)]
    parts: dict[About, Dataset] = {"released": sides.released, "pool": sides.pool}
    for about, texts in parts.items():
        ours, theirs = (compare(texts, side).texts for side in (sides.members, sides.others))
        found += figures.repeated(about, copying(ours, theirs, len(sides.members)))
        found.append(figures.copied(about, copied_rows(as_texts(texts), rows)))
        found.append(figures.disclosed(about, disclosures(as_texts(texts), rows, span), span))
    return found


def of_released_texts(bench: Bench, sides: Sides) -> list[Finding]:
    """How well an attacker with the product alone tells rows apart, in three ways."""
    asked, bigrams = (sides.members, sides.others), Bigrams(as_texts(sides.released))
    taught = _by_learner(bench, sides)
    likely = [bigrams.scores(as_texts(side)) for side in asked]
    near = [_nearness(bench, side, sides.released) for side in asked]
    return [
        *told_apart("aux", "the loss of a learner trained on the released texts", "released", taught[0], taught[1]),
        *told_apart(
            "bigram", "their likelihood under word pairs of the released texts", "released", likely[0], likely[1]
        ),
        *told_apart("nearest", "nearness to a released text", "released", near[0], near[1]),
    ]


def of_replay(bench: Bench, sides: Sides) -> list[Finding]:
    """What detectors find in the product and stands in train rows too."""
    found = replay(as_texts(sides.released), as_texts(sides.train), as_texts(sides.held_out), _panel(bench, sides.form))
    return [figures.replayed(found, len(sides.released))]


def of_generator(bench: Bench, sides: Sides) -> list[Finding]:
    """How well whoever holds the generator that wrote the product tells rows apart."""
    generator, share = bench.generator("match"), bench.recipe.audit.min_k
    ours, theirs = (_token_nlls(generator, side) for side in (sides.members, sides.others))
    by = "the generator's likelihood"
    least = f"{by} of their least likely {100 * share:.0f} % of tokens"
    found = [
        *told_apart("loss", by, "generator", by_loss(ours), by_loss(theirs)),
        *told_apart("min_k", least, "generator", by_min_k(ours, share), by_min_k(theirs, share)),
    ]
    if has_reference(bench):
        before = bench.generator("pretrain")
        ours, theirs = (
            by_reference(now, _token_nlls(before, side))
            for now, side in ((ours, sides.members), (theirs, sides.others))
        )
        found += told_apart("reference", "what training added to their likelihood", "generator", ours, theirs)
    return found


def of_canaries(bench: Bench, sides: Sides) -> list[Finding]:
    """Which canaries were in, and what that says of ε; nothing where there are none."""
    canaries = planting.canaries(bench.recipe, bench.splits.train)
    if canaries is None:
        return []
    inside = np.array(canaries.inside)
    if inside.all() or not inside.any():
        raise DataError("All of the few canaries fell on one side.", "Set audit.canaries higher.")
    said = [" ".join(text.split()) for text in as_texts(sides.pool)]
    known = np.array([any(end in text for text in said) for end in canaries.ends])
    counts = int((known & inside).sum()), int((known & ~inside).sum())
    found = figures.bounds(canary_scores(bench, canaries), inside, _delta(bench))
    return [*found, figures.extracted(*counts, len(sides.pool))]


def _delta(bench: Bench) -> float:
    """That of the promise, where there is one: bounds at another would not speak of it."""
    return private.budget(bench).delta if private.wanted(bench.recipe) else bench.recipe.audit.delta


def has_reference(bench: Bench) -> bool:
    """Whether the generator knew a language before it was trained on these rows."""
    return not any(map(is_scratch, named(bench.recipe)))


def untested(bench: Bench, form: str) -> list[str]:
    """What this run gave no occasion for."""
    said = []
    if not has_reference(bench):
        said.append("A reference model: the generator was made from scratch, so nothing knew the language before.")
    if not bench.recipe.audit.canaries:
        said.append("A bound on ε: no canaries were planted (`audit.canaries`).")
    if not bench.recipe.anonymize.ner:
        said.append(
            "Replay of names: no model that recognises names of persons was given (`anonymize.ner`, with an operator)."
        )
    if form == "quick":
        said.append("Rows beyond the sample, other detectors, repeated trainings: `dilm audit RUN --full`.")
    return said


def notes(bench: Bench) -> list[str]:
    """What weakens the attacks on this run, or strengthens them unduly."""
    said = []
    if is_scratch(bench.recipe.models.learner):
        said.append(
            "The learner was warmed up on the text of the train rows, so attacks by it, and by distances that it "
            "measures, know more than someone who has the released texts alone."
        )
    if bench.recipe.select.pool == "both":
        said.append("Real rows were let into the released set (`select.pool=both`), so copies of them are no accident.")
    if cleaning.wanted(bench.recipe):
        said.append("Rows were anonymized before all else: what is compared are rows with stand-ins.")
    return said


def as_texts(rows: Dataset) -> list[str]:
    """Of each row, all fields as one."""
    return [joined(row.texts) for row in rows]


def _nearness(bench: Bench, rows: Dataset, to: Dataset) -> np.ndarray:
    """Cosine of each row with the nearest of others, for the encoder: n rows -> [n]."""
    ours, theirs = bench.encoder.encode(rows.examples), bench.encoder.encode(to.examples)
    return (ours.astype(np.float64) @ theirs.astype(np.float64).T).max(1)


def _by_learner(bench: Bench, sides: Sides) -> list[np.ndarray]:
    """Minus the loss of each row, of both sides, under learners trained on the product as `evaluate` trains them."""
    learner, recipe = bench.learner(), bench.recipe
    total = [np.zeros(len(side)) for side in (sides.members, sides.others)]
    for number in range(TRAININGS[sides.form]):
        seed = derive(recipe.seed, "audit", "learner", number)
        finetune(learner, sides.released, trial_schedule(recipe), recipe.evaluate.batch, seed)
        for score, side in zip(total, (sides.members, sides.others), strict=True):
            with torch.no_grad():
                score -= learner.loss(side.examples).double().cpu().numpy()
    return total


def _token_nlls(generator: AnyGenerator, rows: Sequence[Example]) -> list[np.ndarray]:
    return [each.double().numpy() for each in generator.token_nlls(list(rows))]


def canary_scores(bench: Bench, canaries: Canaries) -> np.ndarray:
    """Higher for what looks trained on: [canaries]. By the reference where there is one, else by the loss alone."""
    nlls = _token_nlls(bench.generator("match"), canaries.rows)
    if not has_reference(bench):
        return by_loss(nlls)
    return by_reference(nlls, _token_nlls(bench.generator("pretrain"), canaries.rows))


def _panel(bench: Bench, form: str) -> Panel:
    """The run's own detectors where it has any; else shapes, and in the full form Presidio where it is installed."""
    if bench.panel:
        return replace(bench.panel, detectors=(*bench.panel.detectors, SHAPES))
    if form == "quick":
        return looking([SHAPES])
    try:
        return looking([open_presidio(("en",), (), bench.recipe.anonymize.threshold), SHAPES])
    except ModelError:
        return looking([SHAPES])
