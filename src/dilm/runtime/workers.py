"""Independent jobs side by side in processes of one thread each, or one after the other in this process.

One thread in both cases, so that a job's result does not depend on how many run beside it.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import TypeVar

from dilm.runtime import processes

Job = TypeVar("Job")
Result = TypeVar("Result")


def run(work: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, as they finish. With several workers, `work` and jobs must be picklable."""
    if workers <= 1:
        with one_thread():
            for job in jobs:
                yield job, work(job)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker, (os.getpid(),)) as pool:
        before = set(multiprocessing.active_children())
        with main_hidden():
            futures = {pool.submit(work, job): job for job in jobs}
        own = set(multiprocessing.active_children()) - before
        _started.update(own)
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            if _was_interrupted(own):
                raise KeyboardInterrupt from None  # Ctrl-C reached them before it reached us
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_started: set[BaseProcess] = set()
GRACE = 5.0
"""Seconds that they have to end by themselves."""


def _was_interrupted(own: Iterable[BaseProcess]) -> bool:
    """Whether Ctrl-C ended any of a broken pool's processes; how one ended may be known only a moment later."""
    deadline = time.monotonic() + GRACE
    while any(process.exitcode is None for process in own) and time.monotonic() < deadline:
        time.sleep(0.01)
    return any(process.exitcode == -signal.SIGINT for process in own)


@atexit.register
def _end_whoever_is_left() -> None:
    """A pool has been seen to end without a word to one of its processes, for which Python would wait for ever."""
    for process in _started:
        process.join(GRACE)
        if process.is_alive():
            process.terminate()


@contextmanager
def main_hidden() -> Iterator[None]:
    """Processes started within do not import the caller's script, which would run it again from its first line."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, and on as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _begin_worker(parent: int) -> None:
    """One thread, no bars and no rank of its own, and an end when the parent is killed or somebody presses Ctrl-C."""
    import torch

    from dilm.runtime import memory

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # at once and without a word: the parent tells what happened
    torch.set_num_threads(1)
    memory.keep_pages()
    os.environ["DILM_PROGRESS"] = "none"
    processes.forget()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
