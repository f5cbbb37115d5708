"""embed: distillation into embeddings (TDD), where a baseline asks for it. Only its own learner can read them."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from dilm import cleaning
from dilm.build import Bench
from dilm.data.jsonl import write_dataset
from dilm.distillation.embeddings import LearntRows, learn, starting_texts
from dilm.distillation.projection import to_text
from dilm.distillation.unrolling import Unrolling
from dilm.recipe import Recipe
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.progress import bar
from dilm.runtime.seeding import derive
from dilm.stages.training import Training
from dilm.types import Dataset

EMBEDDED, PROJECTED = "tdd", "tdd_text"
"""Names of the two baselines: the embeddings themselves, and their nearest tokens."""


def wanted(recipe: Recipe) -> bool:
    """Whether any baseline asks for embeddings."""
    return not {EMBEDDED, PROJECTED}.isdisjoint(recipe.evaluate.baselines)


def run(bench: Bench) -> dict[str, Any]:
    """Facts: the curve of the loss on real rows after the unrolled training. Nothing where no baseline asks."""
    if not wanted(bench.recipe):
        return {"curve": []}
    settings, seed = bench.recipe.embed, derive(bench.recipe.seed, "embed")
    learner, train = bench.classifier(), bench.splits.train
    unrolling = Unrolling(
        settings.unroll, settings.per_step, settings.trains, settings.attention, settings.attention_weight
    )
    texts = starting_texts(train, bench.recipe.per_class, seed)
    drawn = seed if settings.start == "tokens" else None
    rows = LearntRows.from_texts(learner, texts, unrolling, settings.rate, settings.labels, drawn)
    schedule = Schedule(settings.steps, settings.lr, settings.warmup, 0.0)  # decay would shrink the embeddings
    training = Training(bench.folder("embed"), rows, AdamW(rows.parameters(), schedule))
    training.resume()
    with bar("learn embeddings", settings.steps, training.step) as advance:
        while training.step < settings.steps:
            chunk = range(training.step, min(training.step + settings.check_every, settings.steps))
            losses = []
            for loss in learn(rows, learner, (train, settings.batch), training.update, chunk, seed):
                losses.append(loss)
                advance(1, loss=loss)
            training.rows.append({"step": training.step, "loss": fmean(losses)})
            training.checkpoint()
    learnt = rows.result()
    found = _project(bench, to_text(learnt, learner))
    learnt.save(embedded_file(bench))
    training.clean()
    return {"curve": training.rows, **found}


def _project(bench: Bench, texts: Dataset) -> dict[str, int]:
    """Write the nearest tokens; where rows are anonymized, findings give way to their kinds, and are counted."""
    found = {}
    if bench.panel:
        texts, found["flagged"] = cleaning.rewritten(texts, bench.panel)
    write_dataset(projected_file(bench), texts)
    return found


def embedded_file(bench: Bench) -> Path:
    """Where the embeddings are."""
    return bench.folder("embed") / "embeddings.safetensors"


def projected_file(bench: Bench) -> Path:
    """Where their nearest tokens are, as texts."""
    return bench.folder("embed") / "projected.jsonl"
