"""The first part of fit, where a corpus is named: the generator reads unlabelled text of the domain."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from dilm.build import Bench
from dilm.data.unlabelled import content_key, read_unlabelled
from dilm.distillation.domain import Reading, corpus_nll, read_on
from dilm.generators import most_learned, peak_rate
from dilm.models.causal import CausalGenerator
from dilm.models.dropout import set_dropout
from dilm.models.mixture import AnyGenerator
from dilm.models.unlabelled import classes_as_start, unlabelled_lengths, unlabelled_nll
from dilm.recipe import Recipe
from dilm.recipe.fields import counted
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.progress import bar
from dilm.runtime.seeding import derive, python_stream
from dilm.stages.training import Training

FOLDER = "corpus"
HELD_OUT, SHARE = 200, 0.05
"""Texts that are only measured on: at most so many, and at most this share of all."""


def content(recipe: Recipe) -> list[Any]:
    """What a stage key says of it: nothing where there is none; the file counts by its content."""
    if not recipe.corpus.source:
        return []
    return [counted(recipe)["corpus"] | {"source": content_key(recipe.corpus.source)}]


def pretrained(bench: Bench, generator: AnyGenerator) -> tuple[dict[str, Any], Training | None]:
    """Train the generator on the recipe's corpus, where it has one; facts for the manifest, and what is to be cleaned
    when the classes are learnt, too: until then a killed run finds the weights there."""
    wanted, recipe = bench.recipe.corpus, bench.recipe
    if not wanted.source:
        return {}, None
    assert isinstance(generator, CausalGenerator)  # mixtures are refused
    texts = read_unlabelled(wanted.source, wanted.column, wanted.unit)
    python_stream(recipe.data_seed, FOLDER).shuffle(texts)
    texts = texts[: wanted.rows or len(texts)]
    aside = min(HELD_OUT, max(1, round(SHARE * len(texts))))
    held_out, train = texts[:aside], texts[aside:] or texts
    set_dropout(generator.model, recipe.fit.dropout)
    rate = peak_rate(wanted.lr, most_learned(recipe), scratch=1e-3, pretrained=3e-4)
    schedule = Schedule(wanted.steps, rate, wanted.warmup, wanted.weight_decay, wanted.clip)
    folder = bench.folder("fit") / FOLDER
    bench.crew.told(lambda: folder.mkdir(exist_ok=True))
    training = Training(folder, generator.model, AdamW(generator.parameters(), schedule, bench.crew))
    training.resume()
    cost, lengths = partial(unlabelled_nll, generator), partial(unlabelled_lengths, generator)
    reading = Reading(train, wanted.batch, cost, lengths, derive(recipe.seed, FOLDER))
    _train(bench, generator, training, reading, held_out)
    classes_as_start(generator)
    source = Path(wanted.source).name if Path(wanted.source).expanduser().is_file() else wanted.source
    told = {"source": source, "sha256": content_key(wanted.source), "unit": wanted.unit, "public": wanted.public}
    facts = told | {"rows": len(train), "held_out": len(held_out), "steps": training.step, "curve": training.rows}
    return {"corpus": facts}, training


def _train(bench: Bench, generator: CausalGenerator, training: Training, reading: Reading, held_out: list[str]) -> None:
    wanted = bench.recipe.corpus

    def measure(**more: float) -> None:
        nll = bench.crew.told(lambda: corpus_nll(generator, reading, held_out))
        training.rows.append({"step": training.step, "held_out_nll": nll, **more})

    with bar("read the corpus", wanted.steps, training.step) as advance:
        if not training.rows:
            measure()
        while training.step < wanted.steps:
            chunk, losses = range(training.step, min(training.step + wanted.check_every, wanted.steps)), []
            for loss in read_on(generator, reading, training.update, chunk):
                losses.append(loss)
                advance(1, nll=loss)
            measure(train_nll=fmean(losses))
            training.checkpoint()


def cleaned(training: Training | None) -> None:
    """Remove the working files."""
    if training is not None and not training.update.crew.rank:
        training.clean()
        training.folder.rmdir()
