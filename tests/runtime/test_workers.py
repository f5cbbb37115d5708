"""Jobs side by side: the same results as one after the other, from a plain script too, and faults come back."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dilm.runtime import workers

PLAIN_SCRIPT = """
import operator
print("begun")
from dilm.runtime import workers
print(sorted(result for _, result in workers.run(operator.neg, [1, 2, 3], 2)))
"""

FORGETFUL_POOL = """
import operator
from concurrent.futures import process
from dilm.runtime import workers
workers.GRACE = 0.1
process._ExecutorManagerThread.join_executor_internals = lambda self: None
print(sorted(result for _, result in workers.run(operator.neg, [1, 2], 2)))
"""


def test_every_job_comes_back_with_its_result():
    assert dict(workers.run(operator.neg, range(5), 1)) == {job: -job for job in range(5)}


@pytest.mark.parametrize("count", [1, 2])
def test_each_job_has_one_thread(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert {result for _, result in workers.run(threads, [0, 1], count)} == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def threads(job: int) -> int:
    return torch.get_num_threads()


def test_a_plain_script_needs_no_guard(tmp_path: Path):
    """Spawned processes must not run the caller's script again from its first line."""
    told = walked(PLAIN_SCRIPT, tmp_path)
    assert told.stdout == "begun\n[-3, -2, -1]\n", told.stderr


def test_a_script_ends_though_its_pool_has_forgotten_to_end_its_processes(tmp_path: Path):
    told = walked(FORGETFUL_POOL, tmp_path)
    assert told.stdout == "[-2, -1]\n" and told.returncode == 0, told.stderr


def walked(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "script.py"
    file.write_text(script, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, file], capture_output=True, text=True, env=environment, timeout=100)


def test_a_fault_of_one_job_is_the_callers():
    with pytest.raises(TypeError):
        list(workers.run(operator.neg, [1, "two", 3], 1))


def test_an_interruption_that_reaches_workers_first_is_one():
    """They end by it at once; their pool then only knows that it is broken."""
    with pytest.raises(KeyboardInterrupt):
        list(workers.run(signal.raise_signal, [signal.SIGINT] * 2, 2))
