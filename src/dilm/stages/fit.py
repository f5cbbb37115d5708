"""fit: the generator learns to write examples of each class; it stops when held-out likelihood no longer improves."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from statistics import fmean
from typing import Any

from dilm import federated, private
from dilm.build import Bench
from dilm.distillation.fit import Lessons, fit, held_out_nll, told_apart
from dilm.generators import demonstrations, shows_rows
from dilm.models.dropout import set_dropout
from dilm.models.mixture import AnyGenerator, Mixture
from dilm.runtime.optimize import AdamW
from dilm.runtime.progress import bar
from dilm.runtime.seeding import python_stream
from dilm.schedules import fit_schedule
from dilm.stages import domain, federated_fit, private_fit
from dilm.stages.splitting import finished, training_crew
from dilm.stages.training import Training

TOLD_APART_ROWS = 300
"""Dev rows on which it is asked whether the generator knows its classes."""


def run(bench: Bench) -> dict[str, Any]:
    """Facts: the curve of train and dev nll per token, and the best of the latter."""
    if federated.wanted(bench.recipe):
        return federated_fit.run(bench)
    if private.wanted(bench.recipe):
        return private_fit.run(bench)
    wanted = bench.recipe.fit
    generator = bench.generator("pretrain")
    if not wanted.steps:
        return bench.crew.told(lambda: _untrained(bench, generator))
    read, corpus = domain.pretrained(bench, generator)
    set_dropout(generator.model, wanted.dropout)
    if wanted.name_classes:
        generator.name_classes()
    schedule = fit_schedule(bench.recipe, len(bench.splits.train))
    with training_crew(bench, generator) as crew:
        training = Training(bench.folder("fit"), generator.model, AdamW(generator.parameters(), schedule, crew))
        training.resume()
        _train(bench, generator, training, schedule.steps)
    facts = bench.crew.told(lambda: _finish(bench, generator, training))
    domain.cleaned(corpus)
    return facts | read


def _train(bench: Bench, generator: AnyGenerator, training: Training, steps: int) -> None:
    wanted, seed, update = bench.recipe.fit, bench.recipe.seed, training.update
    shown, smoothing = bench.splits.train, wanted.label_smoothing
    lessons = Lessons(shown, wanted.batch, wanted.contrast, seed, smoothing, wanted.mean_over)
    with bar("fit the generator", steps, training.step) as advance:
        while training.step < steps and training.stale < wanted.patience:
            chunk = range(training.step, min(training.step + wanted.check_every, steps))
            losses = []
            with _shared_out(generator, seed):
                for loss in fit(generator, lessons, update, chunk):
                    losses.append(loss)
                    advance(1, nll=loss)
            dev_nll = update.crew.told(lambda: held_out_nll(generator, bench.splits.dev))
            training.rows.append({"step": training.step, "train_nll": fmean(losses), "dev_nll": dev_nll})
            training.measured(-dev_nll)
            training.checkpoint()


def _shared_out(generator: AnyGenerator, seed: int) -> AbstractContextManager[None]:
    """Each member of a mixture learns its share of the rows; a single generator learns all."""
    return generator.dealt(seed) if isinstance(generator, Mixture) else nullcontext()


def _finish(bench: Bench, generator: AnyGenerator, training: Training) -> dict[str, Any]:
    generator = finished(bench, generator, training, "pretrain")
    settled = _settle(bench, generator)
    generator.save(bench.folder("fit") / "model")
    training.clean()
    told = {"curve": training.rows, "steps": training.step, "dev_nll": -(training.best or 0.0)}
    return told | settled | _known(bench, generator)


def _untrained(bench: Bench, generator: AnyGenerator) -> dict[str, Any]:
    """Facts of a generator that is taken as it is."""
    settled = _settle(bench, generator)
    generator.save(bench.folder("fit") / "model")
    told = {"curve": [], "steps": 0, "dev_nll": held_out_nll(generator, bench.splits.dev)}
    return told | settled | _known(bench, generator)


def _settle(bench: Bench, generator: AnyGenerator) -> dict[str, Any]:
    """The weights of a mixture, from dev rows."""
    if not isinstance(generator, Mixture):
        return {}
    generator.settle(bench.splits.dev.examples)
    return {"weights": generator.weights.tolist()}


def _known(bench: Bench, generator: AnyGenerator) -> dict[str, Any]:
    """What the generator knows of the classes, and which real rows it is shown."""
    asked = bench.splits.dev.sample(TOLD_APART_ROWS, python_stream(bench.recipe.seed, "told apart"))
    known = {"told_apart": told_apart(generator, asked)}
    if not shows_rows(bench.recipe):
        return known
    return known | {"demonstrations": demonstrations(bench.recipe, bench.splits.train)}
