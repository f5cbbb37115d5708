"""Memory: how much was used, how to go on with less, and a plain word when there is too little."""

from __future__ import annotations

import ctypes
import gc
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dilm.errors import ResourceError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

SYMPTOMS = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "can't allocate memory", "not enough memory")
"""What CUDA and Apple's MPS say, cuBLAS, and torch's CPU allocator, on Windows too; all of them raise RuntimeError."""

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4
"""What glibc's `mallopt` can set: how many free bytes go back to the system, how many more than needed are asked for,
from how many on a block has pages of its own, and how many such may be."""
SMALL, MANY = 2**17, 2**20
AHEAD, EVERYTHING = 2**26, 2**31 - 1
LARGE, LARGEST = 2**25, 2**30
"""Bytes of the largest block that is kept: in an older glibc, which takes no larger ones, and since."""


_returning = False
_in_step = False


@contextmanager
def guard(what: str, remedy: str) -> Iterator[None]:
    """Turn running out of memory into a ResourceError that names `what` did not fit and the `remedy`."""
    try:
        yield
    except (RuntimeError, MemoryError) as fault:
        if not is_shortage(fault):
            raise
        raise ResourceError(f"Not enough memory for {what}.", remedy) from fault


def is_shortage(fault: BaseException | None) -> bool:
    """Whether memory ran out, said by torch, by Python, or by `guard`."""
    if isinstance(fault, ResourceError):
        return is_shortage(fault.__cause__)
    return isinstance(fault, MemoryError) or any(symptom in str(fault) for symptom in SYMPTOMS)


@dataclass
class Appetite:
    """How much runs together: as much as asked, and half as much from each time on that memory did not suffice."""

    unit: str = "rows"
    least: int = 1
    """Of which half would not help."""
    amount: int = sys.maxsize

    def feed(self, most: int, work: Callable[[int], Result]) -> Result:
        """`work(amount)`, begun anew with half of it, and the same random numbers, where memory runs out.

        Raises what `work` raised where that is something else, or where even the least is too much.
        """

        return with_less(lambda: work(min(most, self.amount)), lambda: self.shrink(most))

    def shrink(self, most: int) -> bool:
        """Half as much from now on, where `most` was asked for; False where that would not help."""
        tried = min(most, self.amount)
        if tried <= self.least:
            return False
        self.amount = tried // 2
        log.warning("Not enough memory for %d %s at once: going on with %d.", tried, self.unit, self.amount)
        return True


def with_less(work: Callable[[], Result], spare: Callable[[], bool]) -> Result:
    """`work()`, begun anew with the same random numbers each time that memory ran out and `spare()` could ask for less.

    Raises what `work` raised where that is something else, or where nothing more can be spared.
    """
    drawn = _random_states()
    while True:
        try:
            return work()
        except (RuntimeError, MemoryError, ResourceError) as fault:
            if _in_step or not is_shortage(fault) or not spare():
                raise
        _draw_again(drawn)
        give_back()  # outside: the fault holds on to the memory of the failed attempt


@contextmanager
def in_step(wanted: bool = True) -> Iterator[None]:
    """Within, nothing is begun anew where memory runs out: other processes would wait for what comes after it."""
    global _in_step
    before, _in_step = _in_step, wanted
    try:
        yield
    finally:
        _in_step = before


def _random_states() -> tuple[Tensor, list[Tensor]]:
    """Of torch's generators: the processor's, and each GPU's where one is in use."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _draw_again(states: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(states[0])
    if states[1]:
        torch.cuda.set_rng_state_all(states[1])


def give_back() -> None:
    """Return what was freed to the system: of many middle-sized tensors glibc keeps most for this process."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    trim()


def trim() -> None:
    """The part of `give_back` that takes no time: nothing is looked for that nobody needs."""
    _ask_glibc("malloc_trim", 0)


def keep_pages() -> None:
    """From now on, what is freed stays with this process until `give_back`, unless the user told glibc otherwise, or
    `return_at_once` was asked for before.

    By itself glibc returns the tensors of a step when they are freed, and the next step is handed as many pages anew,
    each of which the system must find and blank: most of them for predictions over the vocabulary.
    """
    if _returning or any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    kept = [(M_MMAP_THRESHOLD, amount) for amount in (LARGE, LARGEST)]  # the second is refused, or holds
    for name, amount in ((M_TRIM_THRESHOLD, EVERYTHING), (M_TOP_PAD, AHEAD), *kept):
        _ask_glibc("mallopt", name, amount)


def return_at_once() -> None:
    """From now on, what is freed goes back to the system unless it is small.

    For where memory matters more than time: each new tensor then takes its pages anew. It holds for good.
    """
    global _returning
    _returning = True
    _ask_glibc("mallopt", M_TRIM_THRESHOLD, SMALL)
    _ask_glibc("mallopt", M_TOP_PAD, SMALL)
    _ask_glibc("mallopt", M_MMAP_THRESHOLD, SMALL)
    _ask_glibc("mallopt", M_MMAP_MAX, MANY)
    trim()


def _ask_glibc(name: str, *words: int) -> None:
    """Nothing where the C library is another or has no such call, as musl."""
    found = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    if found:
        found(*words)


def computed_again(work: Callable[..., Tensor], *inputs: object) -> Tensor:
    """`work(*inputs)`, of which nothing is kept for gradients: they compute it a second time, with the same dropout.

    Activation checkpointing (Chen et al. 2016): memory of one such piece at a time, for a third more time.
    """
    return checkpoint(work, *inputs, use_reentrant=False)  # type: ignore[return-value]


def begin_peak() -> None:
    """Let `peak_mb` tell the most since now, where the system can forget what was before: Linux and CUDA."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # not there, or not allowed
        Path("/proc/self/clear_refs").write_text("5")  # the mark that VmHWM shows


def peak_mb() -> float:
    """Most memory held so far, or since `begin_peak`, in MB; nan where unknown.

    Of the GPU where one is in use, otherwise of this process.
    """
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would tell of the process that started this one, too
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(found[1]) / 1024 if found else math.nan
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, others kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
