"""A mistake in a run of several processes: told once, every process ends, and each with the code of a mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from launching import launch, ordinary

BROKEN = """
import os, signal, sys
from dilm import api, cli
from dilm.errors import ModelError
from dilm.runtime.processes import crew
def existing_run(folder):
    if crew().rank:
        {fault}
    crew().gathered(0)
api.existing_run = existing_run
sys.argv = ["dilm", "fit", "anywhere"]
cli.main()
"""


def in_the_second(fault: str) -> list[str]:
    """A process that meets a fault while the other waits for it."""
    return ["-c", BROKEN.format(fault=fault)]


MISTAKES = {
    "met by all": (["-m", "dilm", "fit", "no-such-folder"], "is not a run folder"),
    "met by the first": (["-m", "dilm", "load", "no-such-file.csv", "--out", "run"], "no-such-file.csv"),
    "met by the second": (in_the_second("raise ModelError('Wrong.', 'Mend it.')"), "Wrong. Mend it."),
    "of spelling": (["-m", "dilm", "fit", "run", "--nosuch"], "No such option"),
}
AT_LENGTH = [pytest.param(name, marks=pytest.mark.slow) for name in MISTAKES if name != "met by the second"]
"""Those that end by the same road, and take as long."""


@pytest.mark.parametrize("name", ["met by the second", *AT_LENGTH])
def test_a_mistake_is_told_once_and_ends_all_with_2(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    words, said = MISTAKES[name]
    ended = launch(words, 2)
    assert [process.code for process in ended] == [2, 2], ended
    assert "".join(process.stderr for process in ended).count(said) == 1, ended
    assert not any("Traceback" in process.stderr or process.stdout for process in ended), ended


def test_a_process_that_dies_without_a_word_ends_the_others():
    dead, alive = reversed(launch(in_the_second("os.kill(os.getpid(), signal.SIGKILL)"), 2))
    assert dead.code == -9 and alive.code == 2
    assert "Another process of this run has ended" in alive.stderr and "Traceback" not in alive.stderr


PLAIN = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
LAUNCHERS = {
    "torch.distributed.run": ["--standalone", "--nproc-per-node", "2"],
    "accelerate.commands.launch": ["--multi_gpu", "--num_processes", "2", *PLAIN],
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_hears_one_message(launcher: str, tmp_path: Path):
    pytest.importorskip(launcher)
    asked = [
        sys.executable,
        "-m",
        launcher,
        *LAUNCHERS[launcher],
        "-m",
        "dilm",
        "fit",
        str(tmp_path / "none"),
        "--json",
    ]
    told = subprocess.run(asked, capture_output=True, text=True, env=ordinary(), timeout=240)
    assert told.returncode == 1  # its own: it says in a table that the processes ended with 2
    assert json.loads(told.stdout)["error"].endswith("it has no recipe.yaml.")
    assert told.stderr.count("is not a run folder") == 1 and "exitcode  : 2" in told.stderr
