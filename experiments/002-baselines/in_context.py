"""In-context learning from the sets of a finished run: a local model, calibrated too, and the same behind a server.

    .venv/bin/python experiments/002-baselines/in_context.py runs/baselines/sst2-5

There is no pretrained causal language model without a hub, so MiniLM-L6 is opened as a decoder and taught the task's
prompt on train rows: like an instruction-tuned model it knows the task before it sees a demonstration. What is shown is
that the roads work and agree, and how much the demonstrations still matter to such a model.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch

from dilm import api
from dilm.build import Bench
from dilm.data.own_sets import read_sets
from dilm.evaluation.in_context import CONTENT_FREE, PromptTrial, run_prompt_trial
from dilm.evaluation.prompts import BETWEEN, demonstration
from dilm.evaluation.statistics import paired, summarise
from dilm.journal import OWN_CODE
from dilm.models.decoders import open_causal_model
from dilm.models.endpoint import Endpoint, EndpointScorer
from dilm.models.hub import open_tokenizer
from dilm.models.scorer import CausalScorer
from dilm.protocols import Scorer
from dilm.runtime.device import choose
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.progress import bar
from dilm.runtime.seeding import numpy_stream, python_stream, seed_torch
from dilm.stages.select import real_sets, synthetic_sets
from dilm.types import Dataset, Score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

from encoder import minilm  # noqa: E402
from server import serving  # noqa: E402
from tables import ahead, interval, mean, write  # noqa: E402

METHODS = ("dilm", "untuned", "random", "kmeans_nearest", "typical", "herding")
STEPS, BATCH, SHOWN, RATE = 150, 12, 4, 3e-4
WEIGHT = 10
"""A label counts for as many other tokens: there are few of them."""
QUERIES, ORDERS = 300, 2
SERVED = 60
"""Queries that the server is asked: it answers one after the other, on one thread."""
TOP = 50
"""Likeliest tokens that the server tells."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run of run.py")
    folder = parser.parse_args().run
    torch.set_num_threads(1)
    bench = Bench(api.existing_run(folder), OWN_CODE)
    asked = bench.splits.test.sample(QUERIES, python_stream(0, "queries"))
    sets = {name: rows for name, rows in (synthetic_sets(bench) | real_sets(bench)).items() if name in METHODS}
    if (published := _published(bench)) is not None:
        sets["published"] = published[: len(sets["dilm"])]

    local = taught(minilm(folder.parent), bench.splits.train)
    scores = ask(local, "local", sets, asked) + ask(local, "local, calibrated", sets, asked, CONTENT_FREE)
    with serving(local) as (url, server):
        served = EndpointScorer(Endpoint(url, "MiniLM-L6", top=TOP, context=local.context), folder / "answers.sqlite")
        first = {name: rows[:1] for name, rows in sets.items()}
        scores += ask(served, "served", first, asked.take(range(SERVED)))
        print(f"{server.asked} requests, {served.unreadable} unreadable answers")
    record(scores, folder.name)


def taught(name: str, train: Dataset) -> CausalScorer:
    """MiniLM as a decoder that has read answered prompts."""
    model, tokenizer = open_causal_model(name), open_tokenizer(name)
    model.train()
    names = tokenizer(list(train.task.labels), add_special_tokens=False)["input_ids"]
    labels = torch.tensor([tokens[0] for tokens in names])  # type: ignore[index]
    update = AdamW(model.parameters(), Schedule(STEPS, RATE))
    with bar("teach the prompt", STEPS) as advance:
        for step in range(STEPS):
            seed_torch(0, "talker", step)
            rng = python_stream(0, "talker", step)
            texts = [
                BETWEEN.join(demonstration(train.task, row) for row in train.sample(SHOWN, rng)) for _ in range(BATCH)
            ]
            batch = tokenizer(texts, return_tensors="pt", padding=True)
            tokens, real = batch["input_ids"], batch["attention_mask"]
            logits = model(input_ids=tokens, attention_mask=real).logits[:, :-1]
            nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
            weight = real[:, 1:] * (1 + WEIGHT * torch.isin(tokens[:, 1:], labels))
            advance(1, nll=update([(nll * weight).sum() / weight.sum()], 1))
    return CausalScorer(model, tokenizer, "MiniLM-L6", choose("cpu", "fp32"))


def ask(
    scorer: Scorer, learner: str, sets: dict[str, list[Dataset]], asked: Dataset, free: tuple[str, ...] = ()
) -> list[Score]:
    """A score for each set in so many orders."""
    found = []
    with bar(learner, ORDERS * sum(map(len, sets.values()))) as advance:
        for method, several in sets.items():
            for number, rows in enumerate(several):
                for order in range(ORDERS):
                    size, seed = rows.counts[0], number * ORDERS + order
                    trial = PromptTrial(method, learner, size, number, seed, rows, asked, scorer.name, free)
                    found.append(run_prompt_trial(trial, scorer))
                    advance(1, accuracy=found[-1].value)
    return found


def record(scores: list[Score], run: str) -> None:
    """The table and its rows."""
    lines = []
    for each in summarise(scores, numpy_stream(0, "statistics")):
        same, rng = [score for score in scores if score.learner == each.learner], (0, each.learner, each.method)
        gap = paired(same, "dilm", each.method, numpy_stream(*rng)) if each.method != "dilm" else None
        times = f"{each.sets} × {each.seeds}"
        lines.append((each.learner, each.method, mean(each), interval(each), times, ahead(gap)))
    about = (
        f"In-context learning, {run}, {QUERIES} queries (served: {SERVED}, the first set of each method), "
        f"{ORDERS} orders of each set, accuracy in percent:"
    )
    names = ("learner", "method", "mean", "95 % interval", "sets × orders", "ours ahead by")
    write(HERE / "in_context", about, names, lines, scores)


def _published(bench: Bench) -> list[Dataset] | None:
    file = Path(os.environ["DILM_DATA"]) / "published_dilm" / f"{bench.recipe.data.source}.parquet"
    return read_sets(file, bench.task, bench.recipe.per_class) if file.exists() else None


if __name__ == "__main__":
    main()
