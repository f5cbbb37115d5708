"""How much memory training a generator takes in each of several processes, whole or split (`runtime.fsdp`).

    .venv/bin/python benchmarks/processes.py --processes 1 2 4 --record processes

Three steps of `fit` on eight rows of the toy task, of a GPT-2 with random weights in float32, in processes on this
machine. What a process takes is the most that it held during the steps, less what it held before the model was
there: weights, gradients, Adam's moments, and what a step reads and sends. `bytes a weight` is that of the process that
took most; whole, 16 are expected of one process and 8 + 8 / N of N, split 16 / N and a layer. Seconds are those of the
last step where all share the cores of one machine, and tell little of several.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

import gauges
import output
import torch

from dilm.data.load import load
from dilm.distillation.fit import Lessons, fit
from dilm.models import scratch
from dilm.models.causal import CausalGenerator
from dilm.models.split import Split
from dilm.runtime.device import Place
from dilm.runtime.memory import begin_peak, peak_mb, return_at_once
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.processes import Lockstep, crew
from dilm.types import Dataset

SHAPE = scratch.Size(layers=12, width=768, heads=12)
ROWS, STEPS = 8, 3
PART = "DILM_PROCESSES"
"""In the environment of a process that measures: how the weights are held."""


def main() -> None:
    parser = output.parser(__doc__)
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    given = parser.parse_args()
    if PART in os.environ:
        print(json.dumps(one_process(os.environ[PART] == "split")))
        return
    asked = [(count, way) for count in given.processes for way in ("whole", "split") if count > 1 or way == "whole"]
    rows = [{"processes": count, "weights": way, **together(count, way)} for count, way in asked]
    table = output.table(list(rows[0]), [list(row.values()) for row in rows])
    output.tell(given, {"rows": rows}, f"{SHAPE.layers} layers of {SHAPE.width}, float32\n\n{table}")


def together(count: int, way: str) -> dict[str, Any]:
    """What so many processes tell of themselves, the most of each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": str(count)}
    begun = [
        subprocess.Popen(
            [sys.executable, *sys.argv], env=os.environ | where | {PART: way, "RANK": str(rank)}, stdout=subprocess.PIPE
        )
        for rank in range(count)
    ]
    told = [json.loads(process.communicate()[0].splitlines()[-1]) for process in begun]
    return {name: max(each[name] for each in told) for name in told[0]}


def one_process(split: bool) -> dict[str, Any]:
    """Megabytes that training took here, bytes of each weight, and seconds of a step."""
    torch.set_num_threads(1)
    return_at_once()
    own, rows = crew(), load("toy").train
    rows = Dataset(rows.task, rows.examples[:ROWS])
    tokenizer = scratch.train_tokenizer([" ".join(row.texts) for row in rows], 300, "causal")
    before = gauges.held_mb()
    generator = CausalGenerator(
        scratch.small_gpt2(tokenizer, SHAPE, 0), tokenizer, rows.task, Place(torch.device("cpu"))
    )
    weights = sum(weight.numel() for weight in generator.parameters())
    if split:
        generator.split = Split(generator, own)
    update = AdamW(generator.parameters(), Schedule(STEPS, 1e-4), Lockstep(own) if split else own)
    begin_peak()
    times = []
    for step in range(STEPS):
        begun = time.perf_counter()
        list(fit(generator, Lessons(rows, ROWS, 0.0, 0), update, range(step, step + 1)))
        times.append(time.perf_counter() - begun)
    taken = peak_mb() - before
    return {"MB": round(taken), "bytes a weight": round(taken * 2**20 / weights, 1), "seconds": round(times[-1], 1)}


if __name__ == "__main__":
    main()
