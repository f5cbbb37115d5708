"""fit: the generator learns to write examples of each class; it stops when held-out likelihood no longer improves."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from dilm import private
from dilm.build import Bench, peak_rate
from dilm.distillation.fit import Lessons, fit, held_out_nll, told_apart
from dilm.models.causal import CausalGenerator
from dilm.models.dropout import set_dropout
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.progress import bar
from dilm.runtime.seeding import python_stream
from dilm.stages import private_fit
from dilm.stages.training import Training

TOLD_APART_ROWS = 300
"""Dev rows on which it is asked whether the generator knows its classes."""


def run(bench: Bench) -> dict[str, Any]:
    """Facts: the curve of train and dev nll per token, and the best of the latter."""
    if private.wanted(bench.recipe):
        return private_fit.run(bench)
    wanted, seed = bench.recipe.fit, bench.recipe.seed
    generator = bench.generator("pretrain")
    set_dropout(generator.model, wanted.dropout)
    if wanted.name_classes:
        generator.name_classes()
    rate = peak_rate(wanted.lr, bench.recipe.models.generator, scratch=1e-3, pretrained=3e-4)
    schedule = Schedule(wanted.steps, rate, wanted.warmup, wanted.weight_decay, wanted.clip)
    update = AdamW(generator.parameters(), schedule, bench.crew)
    lessons = Lessons(bench.splits.train, wanted.batch, wanted.contrast, seed, wanted.label_smoothing)
    training = Training(bench.folder("fit"), generator.model, update)
    training.resume()
    with bar("fit the generator", wanted.steps, training.step) as advance:
        while training.step < wanted.steps and training.stale < wanted.patience:
            chunk = range(training.step, min(training.step + wanted.check_every, wanted.steps))
            losses = []
            for loss in fit(generator, lessons, update, chunk):
                losses.append(loss)
                advance(1, nll=loss)
            dev_nll = bench.crew.told(lambda: held_out_nll(generator, bench.splits.dev))
            training.rows.append({"step": training.step, "train_nll": fmean(losses), "dev_nll": dev_nll})
            training.measured(-dev_nll)
            training.checkpoint()
    return bench.crew.told(lambda: _finish(bench, generator, training))


def _finish(bench: Bench, generator: CausalGenerator, training: Training) -> dict[str, Any]:
    training.finish()
    generator.save(bench.folder("fit") / "model")
    training.clean()
    asked = bench.splits.dev.sample(TOLD_APART_ROWS, python_stream(bench.recipe.seed, "told apart"))
    known = told_apart(generator, asked)
    return {"curve": training.rows, "steps": training.step, "dev_nll": -(training.best or 0.0), "told_apart": known}
