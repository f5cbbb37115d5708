"""Seconds and memory of a matching step: the plain published method against ours, same models, same rows.

    .venv/bin/python benchmarks/matching.py --size tiny --json

The plain road is the published one (paper 3.2 and its configurations): 20 learner steps of 64 real rows before every
matching step, gradients of 200 real rows by a backward pass through the learner, and those of the synthetic texts by
one that keeps its graph. Ours is `dilm match`: a few learner lives trained once, teacher gradients remembered, head
gradients in closed form. Writing the proposals is the same for both and left out. Models have random weights.

Rounds alternate between the roads; the figures are medians over rounds of ratios within a round. `speedup` is that of
a stage of 40 steps which trains its bank of learner lives first; `speedup_bank_known` that of one which finds it in the
user's cache, as every later run on the same rows does; `bound` that of a road on which nothing but the generator's own
training takes time: no matching can be faster. Memory is the highest resident size of a process that walks one road,
less what it held when the models were open.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

from dilm.data.load import Limits, load
from dilm.distillation.match import GradientRoad, Matching, closed_form, match
from dilm.distillation.targets import Representatives
from dilm.distillation.trajectory import Ageing, Cached, Fresh
from dilm.models import scratch
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.numerics.gradients import weighted_gradient
from dilm.runtime.device import choose
from dilm.runtime.memory import peak_mb
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.seeding import python_stream
from dilm.types import Dataset, Example

LIFE, AGE_STEPS, BATCH = 10, 20, 64
"""Matching steps of one learner, its training steps between them, rows in each of these (paper 1.7)."""
REAL, SYNTHETIC, TEACHER_SETS = 200, 64, 3
LIVES, AGES, STAGE = 1, 5, 40
"""Our defaults: of the bank, and matching steps of a stage."""


@dataclass(frozen=True)
class Shape:
    """Layers, width and vocabulary of the generator and the learner, and how much is measured."""

    generator: tuple[int, int, int]
    learner: tuple[int, int, int]
    plain_steps: int
    our_steps: int
    rounds: int


SHAPES = {
    "tiny": Shape((2, 128, 4000), (2, 128, 4000), plain_steps=2, our_steps=10, rounds=3),
    "small": Shape((6, 384, 30522), (6, 384, 30522), plain_steps=1, our_steps=5, rounds=3),
    "base": Shape((12, 768, 50257), (12, 768, 30522), plain_steps=1, our_steps=3, rounds=3),
}
"""`tiny` as in the demo, `small` like MiniLM-L6, `base` like GPT-2 and BERT-base."""


@dataclass(frozen=True)
class Table:
    """The models, opened, and the rows."""

    generator: CausalGenerator
    learner: Classifier
    train: Dataset

    def proposals(self, condition: int, step: int) -> list[Example]:
        """Real rows stand in for written ones: their lengths are alike, and both roads read the same."""
        return list(self.train.of(condition).sample(SYNTHETIC, python_stream(1, condition, step)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="tiny")
    parser.add_argument("--json", action="store_true", help="one line with the figures, nothing else")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: torch's choice")
    parser.add_argument("--memory-of", choices=("plain", "ours"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.memory_of:
        print(memory_of(given.memory_of, given.size))
        return
    found = measured(given.size, given.threads)
    print(json.dumps(found) if given.json else told(found))


def measured(size: str, threads: int) -> dict[str, object]:
    """Every figure of one size."""
    shape = SHAPES[size]
    with tempfile.TemporaryDirectory() as folder:
        table = opened(shape, Path(folder))
        rounds = [{**causes(table), **stages(table, shape)} for _ in range(shape.rounds)]
    megabytes = {road: _memory_in_a_process(road, size, threads) for road in ("plain", "ours")}
    ratios = {
        name: [each[f"plain_{name}"] / each[f"our_{name}"] for each in rounds]
        for name in ("stage", "step", "teacher", "synthetic")
    }
    bound = [each["plain_step"] / each["generator_step"] for each in rounds]
    medians = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    return {
        "size": size,
        "speedup": round(statistics.median(ratios["stage"]), 2),
        "speedup_range": [round(min(ratios["stage"]), 2), round(max(ratios["stage"]), 2)],
        "speedup_bank_known": round(statistics.median(ratios["step"]), 2),
        "bound": round(statistics.median(bound), 2),
        "memory_ratio": round(megabytes["ours"] / megabytes["plain"], 3),
        "causes": {
            "teacher gradient, closed form, each time": round(statistics.median(ratios["teacher"]), 2),
            "synthetic gradient, closed form": round(statistics.median(ratios["synthetic"]), 2),
        },
        "milliseconds": {name: round(1000 * value, 1) for name, value in medians.items()},
        "megabytes": megabytes,
        "rounds": shape.rounds,
        "threads": torch.get_num_threads(),
    }


def told(found: dict[str, object]) -> str:
    """The figures in Markdown."""
    lines = ["| figure | value |", "|---|--:|"]
    for name, value in found.items():
        rows = value.items() if isinstance(value, dict) else [("", value)]
        lines += [f"| {f'{name}: {part}' if part else name} | {number} |" for part, number in rows]
    return "\n".join(lines)


def stages(table: Table, shape: Shape) -> dict[str, float]:
    """Seconds of a step of the whole stage, on either road; ours with its share of the bank, and without."""
    step, begin = _plain_seconds(table, shape.plain_steps), time.perf_counter()
    matching = ours(table)
    bank = time.perf_counter() - begin
    walk(table, matching, range(1))
    mine = _seconds(lambda: walk(table, matching, range(1, 1 + shape.our_steps))) / shape.our_steps
    return {
        "plain_stage": step,
        "plain_step": step,
        "bank": bank,
        "our_step": mine,
        "our_stage": mine + bank / STAGE,
        "generator_step": _seconds(lambda: _generator_steps(table, shape.our_steps)) / shape.our_steps,
    }


def _generator_steps(table: Table, steps: int) -> None:
    """The generator's part of as many steps: likelihoods, their gradient, the update."""
    update = AdamW(table.generator.parameters(), Schedule(steps, 1e-6))
    table.generator.train()
    for step in range(steps):
        conditions = table.train.task.conditions
        losses = (table.generator.nll(table.proposals(condition, step)).mean() for condition in conditions)
        update(losses, len(conditions))


def _plain_seconds(table: Table, steps: int) -> float:
    """Of a step, after the first, before which the learner is not trained."""
    matching = plain(table)
    walk(table, matching, range(1))
    return _seconds(lambda: walk(table, matching, range(1, 1 + steps))) / steps


def causes(table: Table) -> dict[str, float]:
    """Seconds of the parts that a step is made of, one condition."""
    learner, rows, texts = table.learner, list(table.train.of(0).examples[:REAL]), table.proposals(0, 0)
    weights = torch.full((SYNTHETIC,), 1 / SYNTHETIC, requires_grad=True)
    ageing = _ageing(table.train, LIFE)
    update = ageing.start(learner, 0)

    def through(road: GradientRoad) -> Callable[[], object]:
        return lambda: torch.autograd.grad(road(learner, texts, weights).square().sum(), weights)

    return {
        "learner_steps": _seconds(lambda: ageing.grow(learner, update, 0)),
        "plain_teacher": _seconds(lambda: by_backward(learner, rows)),
        "our_teacher": _seconds(lambda: learner.gradients(rows).mean(0)),
        "plain_synthetic": _seconds(through(by_double_backward)),
        "our_synthetic": _seconds(through(closed_form)),
        "generator": _seconds(lambda: table.generator.nll(texts).mean().backward()),
    }


def plain(table: Table) -> Matching:
    """The published road."""
    train = table.train

    def target(learner: Classifier, condition: int, step: int) -> Tensor:
        return by_backward(learner, train.of(condition).sample(REAL, python_stream(0, condition, step)).examples)

    trajectory = Fresh(_ageing(train, LIFE))
    return Matching(table.learner, trajectory, target, table.proposals, by_double_backward)


def ours(table: Table) -> Matching:
    """What `dilm match` does, the bank still to be filled."""
    train = table.train
    trajectory = Cached(_ageing(train, AGES), LIVES)
    trajectory.fill(table.learner, lambda: None)
    sets = {
        condition: [train.of(condition).sample(REAL, python_stream(0, which)).examples for which in range(TEACHER_SETS)]
        for condition in train.task.conditions
    }
    target = Representatives(sets, trajectory.age, 0)
    return Matching(table.learner, trajectory, target, table.proposals, closed_form)


def walk(table: Table, matching: Matching, steps: range) -> None:
    """These matching steps."""
    update = AdamW(table.generator.parameters(), Schedule(len(steps), 1e-6))
    list(match(table.generator, matching, update, steps, 0))


def by_double_backward(learner: Classifier, rows: Sequence[Example], weights: Tensor) -> Tensor:
    """The head's gradient of the weighted loss, with a graph of the whole learner behind it."""
    learner.eval()
    return weighted_gradient(learner.loss(rows), weights, learner.head_parameters())


def by_backward(learner: Classifier, rows: Sequence[Example]) -> Tensor:
    """The mean gradient of the head with a graph of the whole learner, as the published code has it."""
    weights = torch.full((len(rows),), 1 / len(rows))
    return weighted_gradient(learner.loss(rows), weights, learner.head_parameters()).detach()


def opened(shape: Shape, folder: Path) -> Table:
    """Models with random weights, in ordinary folders, and the toy reviews."""
    train = load("toy", limits=Limits(dev_rows=100, test_rows=100)).train
    texts = [row.texts[0] for row in train]
    layers, width, vocabulary = shape.generator
    causal = scratch.train_tokenizer(texts, 4000)
    gpt2 = GPT2Config(vocab_size=vocabulary, n_positions=512, n_layer=layers, n_embd=width, n_head=width // 32)
    scratch.save(GPT2LMHeadModel(gpt2), causal, folder / "generator")
    layers, width, vocabulary = shape.learner
    masked = scratch.train_tokenizer(texts, 4000, kind="masked")
    bert = BertConfig(
        vocab_size=vocabulary,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
    )
    scratch.save(BertForMaskedLM(bert), masked, folder / "learner")
    place = choose("cpu", "fp32")
    generator = CausalGenerator.open(str(folder / "generator"), train.task, place)
    return Table(generator, Classifier.open(str(folder / "learner"), train.task, place), train)


def memory_of(road: str, size: str) -> float:
    """Megabytes that this process needs for a few steps beyond the opened models."""
    with tempfile.TemporaryDirectory() as folder:
        table = opened(SHAPES[size], Path(folder))
        before = peak_mb()
        walk(table, {"plain": plain, "ours": ours}[road](table), range(2))
    return round(peak_mb() - before, 1)


def _memory_in_a_process(road: str, size: str, threads: int) -> float:
    command = [sys.executable, __file__, "--size", size, "--memory-of", road, "--threads", str(threads)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONWARNINGS": ""})
    return float(told.stdout.split()[-1])


def _ageing(train: Dataset, ages: int) -> Ageing:
    return Ageing(train, ages, AGE_STEPS, Schedule(ages * AGE_STEPS, 1e-4, 0.5), BATCH, 0)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
