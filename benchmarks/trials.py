"""Fine-tunings per minute: `dilm evaluate`'s trials in processes of their own, against two other roads.

    .venv/bin/python benchmarks/trials.py --json

The same small BERT with random weights, 40 rows, 200 steps of the paper's protocol, then 200 rows scored. `trainer` is
transformers' `Trainer`, one run after the other: it opens the model anew for each and has all threads. `ours` opens it
once in each process, one process for each core, one thread each; what it takes to start them is counted. `batched`
trains all trials at once in one process with all threads, their weights stacked (`torch.func.stack_module_state` and
`vmap`): each step is one larger step, with one head and one dropout for each trial. `bare` is no road but a bound
([bare_training.py](bare_training.py)): processes like ours in which the model's passes and the optimiser's are all that
is done, so `bound` is how many times as long `trainer` takes as training itself on all cores.

Measured is the time from before any model is opened to the last score, tokenising included, the Python libraries of
this process not. `speedup` is how many times as long `trainer` takes as ours by the clock: the median over rounds of
ratios within a round, its range the least and most; `times_ours` is the same for each road. The roads' order alternates
between rounds. On a GPU, ours is one process for all trials, as `dilm evaluate` does.

Why `dilm evaluate` has no such road. For each trial's step on one thread of a busy machine with two cores, `batched`
took 1.5 times less processor time than ours at size `tiny` (1.2 to 1.7 in 8 comparisons of 4 or 8 trials), where calls
cost more than products, and 1 to 1.3 times as much at size `small`. Only trials of the very same rows can share a step,
with one seed for each set few do; and dropout would be drawn for the group, so that a trial's score would depend on
which others were still missing when it was resumed. On a GPU it is untried, and may be the other way round.

Processor seconds stand beside those of the clock: on a machine with other work, threads that wait for each other lose
more than processes that do not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import bare_training
import gauges
import output
import torch
from datasets import Dataset as Rows
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from dilm.data.load import Limits, load
from dilm.evaluation.trials import Trial
from dilm.models import scratch
from dilm.models.attending import plain_attention
from dilm.models.classifier import Classifier
from dilm.models.encodings import Batch
from dilm.recipe import Runtime
from dilm.recipe.learners import Learning
from dilm.runtime import workers
from dilm.runtime.device import Place
from dilm.runtime.optimize import Schedule
from dilm.runtime.seeding import derive
from dilm.stages.jobs import Job, measure
from dilm.stages.students import Enrolled
from dilm.types import Dataset, Splits

SHAPES = {"tiny": (2, 64), "small": (6, 384)}
"""Layers and width."""
ROWS, ASKED = 40, 200
BATCH = 64


def main() -> None:
    parser = gauges.placed(output.parser(__doc__))
    parser.add_argument("--size", choices=SHAPES, default="tiny")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="of every fine-tuning")
    given = parser.parse_args()
    place = gauges.place(given)
    splits = load("toy", limits=Limits(dev_rows=100, test_rows=ASKED))
    with tempfile.TemporaryDirectory() as folder:
        model = opened(given.size, splits.train, Path(folder) / "model")
        rounds = []
        for number in range(given.rounds):
            os.environ["DILM_CACHE"] = str(Path(folder) / f"cache-{number}")  # nothing is known already
            seeds = range(number * given.trials, (number + 1) * given.trials)
            work = Work(model, splits, seeds, place, Schedule(given.steps, 1e-4, 0.5))
            spent = {road: timed(partial(ROADS[road], work)) for road in gauges.in_turn(list(ROADS), number)}
            print(spent, file=sys.stderr)
            rounds.append(spent)
    found = figures(rounds, given, place)
    output.tell(given, found, output.figures(found))


def figures(rounds: Sequence[dict[str, Spent]], given: argparse.Namespace, place: Place) -> dict[str, object]:
    """Every figure, the speedup first."""
    middle, *ends = output.spread([spent["trainer"].clock / spent["ours"].clock for spent in rounds])
    about = {name: getattr(given, name) for name in ("size", "trials", "steps", "rounds")} | {"cores": os.cpu_count()}
    about |= {"device": str(place.device), "bf16": place.bf16}
    roads = {road: compared(rounds, road, given.trials) for road in ROADS}
    bound = output.spread([spent["trainer"].clock / spent["bare"].clock for spent in rounds])
    return {"speedup": middle, "speedup_range": ends, "bound": bound, **about, **roads}


@dataclass(frozen=True)
class Work:
    """A trial with each seed, of the model in this folder."""

    model: str
    splits: Splits
    seeds: range
    place: Place
    schedule: Schedule


@dataclass(frozen=True)
class Spent:
    clock: float
    processor: float
    """Seconds of this process and of those that it started."""


def timed(work: Callable[[], object]) -> Spent:
    begin, busy = time.perf_counter(), sum(os.times()[:4])
    work()
    clock = time.perf_counter() - begin
    for process in multiprocessing.active_children():
        process.join()  # only then is its time known
    return Spent(clock, sum(os.times()[:4]) - busy)


def compared(rounds: Sequence[dict[str, Spent]], road: str, trials: int) -> dict[str, object]:
    """A road's speed, and how many times as long it takes as ours: medians of the rounds, least and most."""
    clock, processor = (
        [getattr(spent[road], kind) / getattr(spent["ours"], kind) for spent in rounds]
        for kind in ("clock", "processor")
    )
    return {
        "per_minute": round(60 * trials / statistics.median(spent[road].clock for spent in rounds), 1),
        "times_ours": output.spread(clock),
        "times_ours_processor": output.spread(processor),
    }


def ours(work: Work) -> None:
    """Side by side."""
    who = Enrolled("bert", Learning("finetune", work.model), work.model, "bert")
    runtime = Runtime(device=str(work.place.device), precision="bf16" if work.place.bf16 else "fp32")
    jobs = [Job(trial(work, seed), who, runtime) for seed in work.seeds]
    list(workers.run(measure, jobs, side_by_side(work.place)))


def bare(work: Work) -> None:
    """Side by side."""
    rows, test, steps = work.splits.train.take(range(ROWS)), work.splits.test, work.schedule.steps
    training = bare_training.Training(work.model, rows, test, steps, work.place)
    list(workers.run(bare_training.train, [training] * len(work.seeds), side_by_side(work.place)))


def side_by_side(place: Place) -> int:
    return (os.cpu_count() or 1) if place.device.type == "cpu" else 1


def batched(work: Work) -> None:
    """All trials at once."""
    schedule, task = work.schedule, work.splits.task
    rows = work.splits.train.take(range(ROWS))
    with gauges.as_made():  # ours draw in place: not under vmap
        learner = Classifier.open(work.model, task, work.place, task.max_tokens)
    stacked = stack(learner, work.seeds)
    decayed = [tensor for tensor in stacked.values() if tensor.ndim >= 3]
    plain = [tensor for tensor in stacked.values() if tensor.ndim < 3]
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=schedule.lr, fused=True)
    batch, truth = learner.inputs(rows), torch.tensor(rows.labels, device=work.place.device)
    learner.train()
    with plain_attention(learner.model):
        for step in range(schedule.steps):
            adam.zero_grad()
            losses = torch.vmap(lost, (None, 0, None, None), randomness="different")(learner, stacked, batch, truth)
            losses.sum().backward()
            clip(list(stacked.values()), schedule.clip)
            for group in adam.param_groups:
                group["lr"] = schedule.rate(step)
            adam.step()
        learner.eval()
        answered(learner, stacked, work.splits.test).tolist()


def stack(learner: Classifier, seeds: range) -> dict[str, Tensor]:
    """Of each weight that training moves one copy for every seed, as our trials begin: by name, [seeds, ...]."""
    starts = []
    for seed in seeds:
        learner.reset(derive(seed, "head"))
        starts.append(learner.snapshot())
    names = [name for name, parameter in learner.model.named_parameters() if parameter.requires_grad]
    device = learner.place.device
    return {name: torch.stack([start[name] for start in starts]).to(device).requires_grad_() for name in names}


def lost(learner: Classifier, weights: dict[str, Tensor], batch: Batch, truth: Tensor) -> Tensor:
    with learner.place.autocast():
        logits = torch.func.functional_call(learner.model, weights, (), dict(batch)).logits
    return torch.nn.functional.cross_entropy(logits.float(), truth)


def clip(stacked: Sequence[Tensor], most: float) -> None:
    """By the global norm of each trial's gradient."""
    squares = sum(tensor.grad.flatten(1).square().sum(1) for tensor in stacked if tensor.grad is not None)
    factor = (most / (squares.sqrt() + 1e-6)).clamp(max=1)  # type: ignore[union-attr]
    for tensor in stacked:
        if tensor.grad is not None:
            tensor.grad.mul_(factor.view(-1, *[1] * (tensor.ndim - 1)))


@torch.no_grad()
def answered(learner: Classifier, stacked: dict[str, Tensor], test: Dataset) -> Tensor:
    """The class of every row by every trial: [seeds, rows]."""

    def said(weights: dict[str, Tensor], batch: Batch) -> Tensor:
        with learner.place.autocast():
            return torch.func.functional_call(learner.model, weights, (), dict(batch)).logits

    batches = (learner.inputs(test[first : first + BATCH]) for first in range(0, len(test), BATCH))
    found = [torch.vmap(said, (0, None))(stacked, batch).argmax(-1) for batch in batches]
    return torch.cat(found, dim=1)


def trial(work: Work, seed: int) -> Trial:
    rows = work.splits.train.take(range(ROWS))
    return Trial("toy", "bert", ROWS // 2, 0, seed, rows, work.splits.test, work.schedule, BATCH, "bert")


def theirs(work: Work) -> None:
    """A run of `Trainer` with each seed."""
    tokenizer = AutoTokenizer.from_pretrained(work.model)
    train, test = (table(rows, tokenizer) for rows in (work.splits.train.take(range(ROWS)), work.splits.test))
    for seed in work.seeds:
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(
                AutoModelForSequenceClassification.from_pretrained(work.model, num_labels=2),
                arguments(folder, seed, work),
                train_dataset=train,
                data_collator=DataCollatorWithPadding(tokenizer),
            )
            trainer.remove_callback(PrinterCallback)  # it prints figures of its own
            trainer.train()
            trainer.predict(test)


def arguments(folder: str, seed: int, work: Work) -> TrainingArguments:
    return TrainingArguments(
        folder,
        max_steps=work.schedule.steps,
        learning_rate=work.schedule.lr,
        warmup_steps=int(work.schedule.warmup * work.schedule.steps),
        lr_scheduler_type="cosine",
        weight_decay=work.schedule.weight_decay,
        max_grad_norm=work.schedule.clip,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        seed=seed,
        use_cpu=work.place.device.type == "cpu",
        bf16=work.place.bf16,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def table(rows: Dataset, tokenizer: object) -> Rows:
    encoded = tokenizer([row.texts[0] for row in rows], truncation=True)  # type: ignore[operator]
    return Rows.from_dict({**encoded, "labels": rows.labels})


def opened(size: str, train: Dataset, folder: Path) -> str:
    """A BERT with random weights in an ordinary folder."""
    layers, width = SHAPES[size]
    tokenizer = scratch.train_tokenizer([row.texts[0] for row in train], 4000, kind="masked")
    torch.manual_seed(0)
    bert = BertConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
    )
    scratch.save(BertForMaskedLM(bert), tokenizer, folder)
    return str(folder)


ROADS: dict[str, Callable[[Work], None]] = {
    "trainer": theirs,
    "batched": batched,
    "bare": bare,
    "ours": ours,
}


if __name__ == "__main__":
    main()
