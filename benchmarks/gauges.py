"""Where a benchmark runs, by which clock, and how much memory a piece of work takes."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import torch

from dilm.models import hub, scratch
from dilm.runtime.device import PRECISIONS, Place, choose
from dilm.runtime.memory import begin_peak, give_back, peak_mb

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Road = TypeVar("Road")


def placed(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """With the options of all benchmarks that open a model."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps, auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    return parser


def place(given: argparse.Namespace) -> Place:
    """Where those options say; `peak_mb` tells of the GPU that is chosen here."""
    found = choose(given.device, given.precision)
    if found.device.type == "cuda" and found.device.index is not None:
        torch.cuda.set_device(found.device)
    return found


@contextmanager
def as_made() -> Iterator[None]:
    """Within, models are opened with the parts that transformers makes, and without `dilm.models.quick`."""
    with ExitStack() as plain:
        for opening in (hub, scratch):
            plain.enter_context(patch.object(opening, "quickened", lambda model: model))
        yield


def clock(device: torch.device, kind: str = "wall") -> Callable[[], float]:
    """Seconds, told when everything that was asked of the device is done."""
    read = CLOCKS[kind]

    def told() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
        return read()

    return told


def seconds(work: Callable[[], object], now: Callable[[], float]) -> float:
    """That the work takes, by such a clock."""
    begin = now()
    work()
    return now() - begin


def held_mb() -> float:
    """What is held now, in MB, of what `peak_mb` tells the most: tensors on the GPU in use, or this process (Linux)."""
    if torch.cuda.is_initialized():
        return torch.cuda.memory_allocated() / 2**20
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def taken_mb(work: Callable[[], object]) -> float:
    """The most that was held while the work was done, less what was held before."""
    give_back()
    before = held_mb()
    begin_peak()
    work()
    return peak_mb() - before


def in_turn(roads: Sequence[Road], number: int) -> Sequence[Road]:
    """In their order in even rounds, and the other way round in odd ones."""
    return roads[:: -1 if number % 2 else 1]
