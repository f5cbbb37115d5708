"""The two roads of `matching.py`, on models with random weights in ordinary folders, and the memory that each takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import gauges
import torch
from plain_method import BATCH, LEARNER_STEPS, REAL, SYNTHETIC, PlainMethod, Rows
from sampling import Shape, gpt2
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
)

from dilm.build import FEW_AT_ONCE
from dilm.data.load import Limits, load
from dilm.distillation.match import Matching, closed_form, match
from dilm.distillation.targets import Representatives
from dilm.distillation.trajectory import Ageing, Cached
from dilm.models import scratch
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.models.snapshots import Snapshots
from dilm.runtime.device import Place
from dilm.runtime.memory import give_back
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.seeding import python_stream
from dilm.types import Dataset, Example

SETS = 3
"""Teacher sets that are really made here; what one costs does not depend on their number."""

Written = Mapping[tuple[int, int], list[Example]]
"""Texts to be matched, by condition and step."""


@dataclass(frozen=True)
class Table:
    """The models as ours opens them, the rows, and where all of it is."""

    generator: CausalGenerator
    learner: Classifier
    train: Dataset
    folder: Path
    place: Place


def toy() -> Dataset:
    """The rows of every size."""
    return load("toy", limits=Limits(dev_rows=100, test_rows=100)).train


def written(train: Dataset, series: str, steps: range) -> Written:
    """Real rows with their words shuffled: as long as texts that are written, and nobody has read those of a series."""
    found = {}
    for condition in train.task.conditions:
        rows = train.of(condition)
        for step in steps:
            rng = python_stream(1, series, condition, step)
            texts = [row.texts[0].split() for row in rows.sample(SYNTHETIC, rng)]
            found[condition, step] = [Example((" ".join(rng.sample(words, len(words))),), condition) for words in texts]
    return found


def save(generator: Shape, learner: Shape, train: Dataset, folder: Path) -> None:
    """Models of these shapes as folders; their tokenizers know fewer tokens than they."""
    texts = [row.texts[0] for row in train]
    causal, masked = (scratch.train_tokenizer(texts, 4000, kind) for kind in ("causal", "masked"))
    ends = {f"{role}_token_id": getattr(causal, f"{role}_token_id") for role in ("pad", "bos", "eos")}
    gpt2, bert = configurations(generator, learner)
    gpt2.update(ends)
    torch.manual_seed(0)
    scratch.save(GPT2LMHeadModel(gpt2), causal, folder / "generator")
    scratch.save(BertForMaskedLM(bert), masked, folder / "learner")


def configurations(generator: Shape, learner: Shape) -> tuple[GPT2Config, BertConfig]:
    """For transformers."""
    bert = BertConfig(
        vocab_size=learner.vocabulary,
        num_hidden_layers=learner.layers,
        hidden_size=learner.width,
        num_attention_heads=learner.heads,
        intermediate_size=4 * learner.width,
    )
    return gpt2(generator, n_positions=512, bos_token_id=0, eos_token_id=0), bert


def opened(folder: Path, train: Dataset, place: Place) -> Table:
    """What ours needs."""
    generator = CausalGenerator.open(str(folder / "generator"), train.task, place)
    return Table(generator, Classifier.open(str(folder / "learner"), train.task, place), train, folder, place)


def opened_plainly(folder: Path, train: Dataset, place: Place, learner_steps: int) -> PlainMethod:
    """What the published method needs, by transformers alone."""
    writing, reading = (AutoTokenizer.from_pretrained(folder / role) for role in ("generator", "learner"))
    names = [f"<|class_{condition}|>" for condition in train.task.conditions]
    writing.add_tokens(names, special_tokens=True)
    generator = AutoModelForCausalLM.from_pretrained(folder / "generator").to(place.device)
    learner = AutoModelForSequenceClassification.from_pretrained(folder / "learner", num_labels=len(names))
    models = (generator, writing), (learner.to(place.device), reading)
    return PlainMethod(*models, writing.convert_tokens_to_ids(names), by_class(train), place, learner_steps)


def plain(table: Table) -> PlainMethod:
    """The published method on the models of ours."""
    generator, learner = table.generator, table.learner
    models = (generator.model, generator.tokenizer), (learner.model, learner.encodings.tokenizer)
    return PlainMethod(*models, generator.conditions, by_class(table.train), table.place)


def by_class(train: Dataset) -> Rows:
    return Rows([[row.texts[0] for row in train.of(condition)] for condition in train.task.conditions])


def texts(several: Written, step: int) -> list[list[str]]:
    """Of each class."""
    return [[row.texts[0] for row in rows] for (_, when), rows in several.items() if when == step]


def banked(table: Table, ages: int, number: int) -> Cached:
    """A bank of one life on disk."""
    schedule, at_once = Schedule(ages * LEARNER_STEPS, 1e-4, 0.5), FEW_AT_ONCE if table.place.recompute else 0
    ageing = Ageing(table.train, ages, LEARNER_STEPS, schedule, BATCH, number, at_once)
    bank = Cached(ageing, lives=1, bank=Snapshots(table.folder / f"lives-{number}", table.learner.pristine))
    bank.fill(table.learner, lambda: None)
    return bank


def ours(table: Table, bank: Cached, several: Written) -> Matching:
    """What `dilm match` does, on these texts."""
    train = table.train
    sets = {
        condition: [train.of(condition).sample(REAL, python_stream(0, which)).examples for which in range(SETS)]
        for condition in train.task.conditions
    }
    return Matching(table.learner, bank, Representatives(sets, bank.age, 0), met(several), closed_form)


def met(several: Written) -> Callable[[int, int], list[Example]]:
    """As the proposals of a matching."""
    return lambda condition, step: several[condition, step]


def walk(table: Table, matching: Matching, steps: range) -> None:
    """These matching steps."""
    update = AdamW(table.generator.parameters(), Schedule(len(steps), 1e-6))
    list(match(table.generator, matching, update, steps, 0))


def generator_steps(table: Table, several: Written, steps: range) -> None:
    """The generator's part of them: likelihoods, their gradient, the update."""
    update = AdamW(table.generator.parameters(), Schedule(len(steps), 1e-6))
    table.generator.train()
    for step in steps:
        conditions = table.train.task.conditions
        update((table.generator.nll(several[condition, step]).mean() for condition in conditions), len(conditions))


def memory_of(road: str, folder: Path, place: Place) -> float:
    """Megabytes of a road from before its models are opened: a few steps on the models in this folder."""
    train, steps = toy(), range(2 if road == "plain" else 4)
    several = written(train, "memory", steps)
    exercise(place)

    def walked_plainly() -> None:
        method = opened_plainly(folder, train, place, learner_steps=2)  # no more are held at once
        for step in steps:
            method.step(step, texts(several, step))

    def walked() -> None:
        with TemporaryDirectory() as lives:
            table = opened(folder, train, replace(place, recompute=road == "frugal"))
            table = replace(table, folder=Path(lives))
            bank = banked(table, 2, 0)
            give_back()
            walk(table, ours(table, bank, several), steps)

    return round(gauges.taken_mb(walked_plainly if road == "plain" else walked), 1)


def exercise(place: Place) -> None:
    """A step of models with a few weights: all code that either road needs is in memory from here on."""
    few = Shape(1, 8, 2, 16)
    gpt2, bert = configurations(few, few)
    tokens = torch.ones(2, 4, dtype=torch.long, device=place.device)
    for model in (GPT2LMHeadModel(gpt2), BertForSequenceClassification(bert)):
        model.to(place.device)  # type: ignore[arg-type]
        adam = torch.optim.AdamW(model.parameters(), fused=True)
        with place.autocast():
            model(input_ids=tokens).logits.float().sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
