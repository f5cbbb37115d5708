"""Real processes, killed without warning in the middle of a stage: the resumed run is the run that was never killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tiny_runs import SETTINGS, products, scores_of

from dilm import api

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX signals")]

LONGER = {
    "data.train_rows": 200,
    "data.dev_rows": 40,
    "data.test_rows": 60,
    "models.max_tokens": 40,
    "fit.steps": 80,
    "fit.check_every": 10,
    "fit.patience": 99,
    "match.steps": 8,
    "match.check_oversample": 1,
    "evaluate.baselines": "random,untuned,full",
}


def start(out: Path, cache: Path, *words: str, workers: int = 1) -> subprocess.Popen[str]:
    """`python -m dilm distill toy`, leading a process group of its own."""
    said = SETTINGS | LONGER | {"runtime.workers": workers}
    settings = [word for name, value in said.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "dilm", "distill", "toy", "--out", str(out), "--per-class", "3", *settings]
    environment = os.environ | {"DILM_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "DILM_PROGRESS": "none"}
    return subprocess.Popen(
        [*command, "--generator", "scratch:tiny", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    told, _ = process.communicate(timeout=240)
    assert process.returncode == 0, told


def wait_until(sign: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not sign():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def measured(out: Path) -> int:
    file = out / "scores.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    finish(start(folder / "run", folder / "cache"))
    return folder / "run"


SIGNS: dict[str, Callable[[Path], bool]] = {
    "fit": lambda out: (out / "fit" / "checkpoint.pt").exists(),
    "match": lambda out: (out / "match" / "checkpoint.pt").exists(),
    "evaluate": lambda out: measured(out) >= 3,
}


def assert_same(out: Path, whole: Path) -> None:
    assert products(out) == products(whole)
    assert scores_of(out) == scores_of(whole)
    for stage in ("fit", "match"):
        mine, theirs = (api.existing_run(run).stage(stage).manifest for run in (out, whole))
        assert mine["curve"] == theirs["curve"]
    assert api.verify(out)["faults"] == []


@pytest.mark.parametrize("stage", SIGNS)
def test_a_killed_run_continues_as_if_nothing_had_happened(stage: str, whole: Path, tmp_path: Path):
    out = tmp_path / "run"
    process = start(out, tmp_path / "cache")
    wait_until(lambda: SIGNS[stage](out), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (out / stage / "manifest.json").exists(), "killed too late to tell anything"
    assert api.verify(out)["faults"] == []
    finish(start(out, tmp_path / "cache", "--resume"))
    assert_same(out, whole)
    assert api.existing_run(out).stage(stage).manifest["resumed"] is True


def test_trials_side_by_side_are_the_trials_one_by_one_also_when_killed(whole: Path, tmp_path: Path):
    """The parent alone is killed: its workers must notice and go, and what they measured is kept."""
    out = tmp_path / "run"
    process = start(out, tmp_path / "cache", workers=2)
    wait_until(lambda: SIGNS["evaluate"](out), process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert len(children) >= 2
    assert not psutil.wait_procs(children, timeout=20)[1]
    kept = measured(out)
    finish(start(out, tmp_path / "cache", "--resume", workers=2))
    assert_same(out, whole)
    assert kept >= 3 and json.loads((out / "evaluate" / "manifest.json").read_text("utf-8"))["known"] >= kept


def test_an_interrupted_run_ends_with_130_and_says_how_to_go_on(tmp_path: Path):
    """As Ctrl-C on a terminal: the whole group gets the signal."""
    process = start(tmp_path / "run", tmp_path / "cache", workers=2)
    wait_until(lambda: SIGNS["evaluate"](tmp_path / "run"), process)
    os.killpg(process.pid, signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told and "--resume" in told
