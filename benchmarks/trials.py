"""Fine-tunings per minute: `dilm evaluate`'s trials against runs of transformers' `Trainer`, one after the other.

    .venv/bin/pip install accelerate
    .venv/bin/python benchmarks/trials.py --json

The same small BERT with random weights, 40 rows, 200 steps of the paper's protocol, then 200 rows scored. `Trainer`
opens the model anew for each run and has all threads; ours opens it once in each process, one process for each core,
one thread each. What ours takes to start its processes is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset as Rows
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from dilm.data.load import Limits, load
from dilm.evaluation.trials import Trial
from dilm.models import scratch
from dilm.recipe import Runtime
from dilm.recipe_learners import Learning
from dilm.runtime import workers
from dilm.runtime.optimize import Schedule
from dilm.stages.evaluate import Job, measure
from dilm.stages.students import Enrolled
from dilm.types import Dataset, Splits

SHAPES = {"tiny": (2, 64), "small": (6, 384)}
"""Layers and width."""
ROWS, ASKED = 40, 200
SCHEDULE, BATCH = Schedule(200, 1e-4, 0.5), 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="tiny")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one line with the figures, nothing else")
    given = parser.parse_args()
    splits = load("toy", limits=Limits(dev_rows=100, test_rows=ASKED))
    with tempfile.TemporaryDirectory() as folder:
        model = opened(given.size, splits.train, Path(folder) / "model")
        rounds = []
        for number in range(given.rounds):
            os.environ["DILM_CACHE"] = str(Path(folder) / f"cache-{number}")  # nothing is known already
            first = number * given.trials
            rounds.append(
                (theirs(model, splits, range(first, first + given.trials)), ours(model, splits, first, given))
            )
    ratios = [one / other for one, other in rounds]
    found = {
        "size": given.size,
        "speedup": round(statistics.median(ratios), 2),
        "speedup_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "per_minute": {
            "trainer": round(60 * given.trials / statistics.median(one for one, _ in rounds), 1),
            "ours": round(60 * given.trials / statistics.median(other for _, other in rounds), 1),
        },
        "trials": given.trials,
        "rounds": given.rounds,
        "cores": os.cpu_count(),
    }
    print(json.dumps(found) if given.json else "\n".join(f"{name}: {value}" for name, value in found.items()))


def ours(model: str, splits: Splits, first: int, given: argparse.Namespace) -> float:
    """Seconds for so many trials."""
    who = Enrolled("bert", Learning("finetune", model), model, "bert")
    runtime = Runtime(device="cpu", precision="fp32")
    jobs = [Job(trial(splits, seed), who, runtime) for seed in range(first, first + given.trials)]
    begin = time.perf_counter()
    list(workers.run(measure, jobs, os.cpu_count() or 1))
    return time.perf_counter() - begin


def trial(splits: Splits, seed: int) -> Trial:
    rows = splits.train.take(range(ROWS))
    return Trial("toy", "bert", ROWS // 2, 0, seed, rows, splits.test, SCHEDULE, BATCH, "bert")


def theirs(model: str, splits: Splits, seeds: range) -> float:
    """Seconds for a run of `Trainer` with each seed."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    train, test = (table(rows, tokenizer) for rows in (splits.train.take(range(ROWS)), splits.test))
    begin = time.perf_counter()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(
                AutoModelForSequenceClassification.from_pretrained(model, num_labels=2),
                arguments(folder, seed),
                train_dataset=train,
                data_collator=DataCollatorWithPadding(tokenizer),
            )
            trainer.train()
            trainer.predict(test)
    return time.perf_counter() - begin


def arguments(folder: str, seed: int) -> TrainingArguments:
    return TrainingArguments(
        folder,
        max_steps=SCHEDULE.steps,
        learning_rate=SCHEDULE.lr,
        warmup_steps=int(SCHEDULE.warmup * SCHEDULE.steps),
        lr_scheduler_type="cosine",
        weight_decay=SCHEDULE.weight_decay,
        max_grad_norm=SCHEDULE.clip,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        seed=seed,
        use_cpu=True,
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


if __name__ == "__main__":
    main()
