"""Independent jobs on a Ray cluster, one thread each: the same results as `workers` gives, from many machines.

Each node needs dilm installed in the same version, and models that are named by folder under the same path.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from dilm.errors import ResourceError
from dilm.runtime import processes
from dilm.runtime.workers import one_thread

Job = TypeVar("Job")
Result = TypeVar("Result")

PATIENCE = 10
"""Seconds to wait for a cluster's answer."""


def run(work: Callable[[Job], Result], jobs: Iterable[Job], address: str = "") -> Iterator[tuple[Job, Result]]:
    """Each job with its result, as they finish; `work` and jobs must be picklable.

    At `address` a cluster is running (`auto` finds the one of this machine); without one, this machine becomes one.
    Raises ResourceError where ray is not installed or the cluster cannot be reached, and whatever `work` raises.
    """
    ray = _ray()
    begun = not ray.is_initialized()
    if begun:
        _connect(ray, address)
    alone, work = ray.remote(num_cpus=1)(_alone), ray.put(work)
    waiting = {alone.remote(work, job): job for job in jobs}
    try:
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            yield waiting.pop(done), _result(ray, done)
    finally:
        for unfinished in waiting:
            ray.cancel(unfinished, force=True)
        if begun:
            ray.shutdown()


def _alone(work: Callable[[Job], Result], job: Job) -> Result:
    """What a node does."""
    from dilm.runtime import memory

    os.environ["DILM_PROGRESS"] = "none"
    memory.keep_pages()
    processes.forget()
    with one_thread():
        return work(job)


def _result(ray: Any, done: Any) -> Any:
    """The result, or the error as `work` raised it."""
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as fault:
        raise fault.cause from fault


def _connect(ray: Any, address: str) -> None:
    try:
        _knock(address)
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except (OSError, RuntimeError, ValueError) as fault:
        raise ResourceError(
            f"No Ray cluster answers at {address or 'this machine'}: {fault}",
            "Start one with `ray start --head`, and name it in `runtime.cluster`.",
        ) from fault


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at a `host:port`: ray itself would go on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _ray() -> Any:
    try:
        import ray  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError as fault:
        raise ResourceError("Ray is not installed.", "Install it with `pip install 'dilm[ray]'`.") from fault
    return ray
