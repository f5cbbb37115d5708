"""fit under differential privacy: DP-SGD on Poisson samples. Nothing is measured on the way that takes real rows."""

from __future__ import annotations

from typing import Any

from torch import nn

from dilm import private
from dilm.build import Bench
from dilm.distillation.fit import Lessons
from dilm.distillation.private_fit import fit_privately
from dilm.models.causal import CausalGenerator
from dilm.models.mixture import AnyGenerator
from dilm.privacy.dpsgd import Bounds, DPAdamW, Hooked
from dilm.runtime.optimize import AdamW
from dilm.runtime.progress import bar
from dilm.schedules import fit_schedule
from dilm.stages import domain
from dilm.stages.training import Training


def run(bench: Bench) -> dict[str, Any]:
    """Facts: steps, and what the run spent so far. There is no curve: losses of real rows are not released."""
    wanted, recipe = bench.recipe.fit, bench.recipe
    train, mechanism = private.real_rows(bench, "fit"), private.mechanisms(bench)["fit"]
    identity = private.release_at_work(bench, "fit", mechanism)
    noise, book = private.noise(bench, identity), private.ledger(bench)
    first = bench.generator("pretrain")
    read, corpus = domain.pretrained(bench, first)
    generator = prepared(first, recipe.fit.name_classes, recipe.dp.trains)
    schedule = fit_schedule(recipe, len(train))
    bounds = Bounds(recipe.dp.clip, mechanism.noise, mechanism.rate * len(train))
    adam = AdamW(trained(generator), schedule, bench.crew)
    update = DPAdamW(adam, bounds, noise, Hooked(generator.model))
    training = Training(bench.folder("fit"), generator.model, update)
    training.resume()
    lessons = Lessons(train, wanted.batch, wanted.contrast, recipe.seed)

    def draw(step: int) -> list[int]:
        return noise.chosen(len(train), mechanism.rate, step)

    with bar("fit the generator privately", schedule.steps, training.step) as advance:
        while training.step < schedule.steps:
            chunk = range(training.step, min(training.step + wanted.check_every, schedule.steps))
            name = f"{identity} {chunk.start}-{chunk.stop}{noise.mark}"
            book.charge(name, private.entry("fit", mechanism, len(chunk)))
            for _ in fit_privately(generator, lessons, update, draw, chunk):
                advance(1)
            training.checkpoint()
    generator.save(bench.folder("fit") / "model")
    training.clean()
    domain.cleaned(corpus)
    return {"curve": [], "steps": training.step, "privacy": private.spend(bench)} | read


def prepared(generator: AnyGenerator, name_classes: bool, trains: str) -> CausalGenerator:
    """Read side by side; without the vocabulary's weights where these are not trained."""
    assert isinstance(generator, CausalGenerator)  # mixtures are refused
    if name_classes:
        generator.name_classes()
    generator.read_at_once()
    if trains == "body":
        generator.freeze_vocabulary()
    return generator


def trained(generator: CausalGenerator) -> list[nn.Parameter]:
    """The weights that are trained, in their order."""
    return [each for each in generator.parameters() if each.requires_grad]
