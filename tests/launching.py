"""Processes of one run on this machine, started as a launcher starts them, each with its own exit code to be asked."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 240
"""Longer than anything here takes on a busy machine; who waits for ever is found out."""


@dataclass(frozen=True)
class Ended:
    """What a process said, and how it ended."""

    code: int
    stdout: str
    stderr: str


def begin(words: Sequence[str], size: int, **environment: str) -> list[subprocess.Popen[str]]:
    """`python *words`, so many times."""
    port = str(free_port())
    return [
        subprocess.Popen(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ordinary() | environment | placed(rank, size, port),
        )
        for rank in range(size)
    ]


def end(processes: Sequence[subprocess.Popen[str]]) -> list[Ended]:
    """Wait for all; none is left behind."""
    try:
        return [Ended(process.wait(SECONDS), *process.communicate()) for process in processes]
    finally:
        for process in processes:
            process.kill()


def wait_for(file: Path, processes: Sequence[subprocess.Popen[str]]) -> None:
    """Until one of the processes has written the file, while all of them live."""
    deadline = time.monotonic() + 300
    while not file.exists():
        assert all(process.poll() is None for process in processes), [process.communicate()[1] for process in processes]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def launch(words: Sequence[str], size: int, **environment: str) -> list[Ended]:
    """Begin and end."""
    return end(begin(words, size, **environment))


def ordinary() -> dict[str, str]:
    """The environment of a process that sees this code, and shows no progress."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "DILM_PROGRESS": "none"}


def placed(rank: int, size: int, port: str) -> dict[str, str]:
    """What a launcher says in the environment."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return where | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
