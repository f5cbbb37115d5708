"""Runs of several processes: what one process makes, made together, written once, and ended with one word."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from launching import launch, ordinary, wait_for
from road_to_match import travel
from tiny_runs import SETTINGS, START, curve_of, products, rows_of, scores_of, weights_of

from dilm import api

ROAD = Path(__file__).with_name("road_to_match.py")


@pytest.fixture(scope="module")
def models(folders: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A learner, and a generator without dropout: each process draws its own, so with it no two sizes are equal."""
    generator = shutil.copytree(folders["generator"], tmp_path_factory.mktemp("still") / "generator")
    config = json.loads((generator / "config.json").read_text("utf-8"))
    still = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
    (generator / "config.json").write_text(json.dumps(config | still), encoding="utf-8")
    return {"generator": str(generator), "learner": str(folders["learner"])}


@pytest.fixture(scope="module")
def both(source: Path, models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a run of one process, and of one of two."""
    one, two = (tmp_path_factory.mktemp("runs") / name for name in ("one", "two"))
    travel(str(source), str(one), **models)
    words = [str(ROAD), str(source), str(two), models["generator"], models["learner"]]
    ended = launch(words, 2, DILM_CACHE=str(tmp_path_factory.mktemp("cache of two")))
    assert [process.code for process in ended] == [0, 0], ended
    return one, two


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["fit", "match"])
def test_two_processes_train_the_generator_that_one_trains(both: tuple[Path, Path], stage: str):
    """But for rounding: sums are taken in another order."""
    one, two = (weights_of(run, stage) for run in both)
    assert one.keys() == two.keys()
    assert {name for name in one if not torch.allclose(one[name], two[name], rtol=0, atol=1e-5)} == set()
    for row, other in zip(*(curve_of(run, stage) for run in both), strict=True):
        assert row == pytest.approx(other, abs=1e-5)


@pytest.mark.slow
def test_a_manifest_tells_how_many_worked(both: tuple[Path, Path]):
    found = [(api.existing_run(run).stage("match").manifest or {})["processes"] for run in both]
    assert found == [1, 2]


@pytest.mark.slow
def test_each_stage_has_moved_the_weights(both: tuple[Path, Path]):
    """Else the test above would say little."""
    fitted, matched = (weights_of(both[0], stage)["transformer.wte.weight"] for stage in ("fit", "match"))
    assert not torch.allclose(fitted, matched, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_a_whole_run_of_two_is_the_run_of_one_even_when_killed(source: Path, models: dict[str, str], tmp_path: Path):
    """Started by torchrun, killed while matching, and continued: the texts, the scores, one voice."""
    said = SETTINGS | {"match.steps": 20, "match.check_sets": 2, "evaluate.baselines": "random,untuned,full"}
    one = api.distill(source, out=tmp_path / "one", settings=said, **(START | models))
    command = [*TORCHRUN, "distill", str(source), "--out", str(tmp_path / "two"), *options(START | models, said)]
    first = begin(command, tmp_path)
    wait_for(tmp_path / "two" / "match" / "checkpoint.pt", [first])
    for process in [
        *psutil.Process(first.pid).children(recursive=True),
        first,
    ]:  # torchrun's have sessions of their own
        process.kill()
    first.communicate()
    assert not (tmp_path / "two" / "match" / "manifest.json").exists(), "killed too late to tell anything"
    second = begin([*command, "--resume"], tmp_path)
    told, noted = second.communicate(timeout=400)
    assert second.returncode == 0, noted
    assert told.count("report.html") == 1 and noted.count("evaluate: ...") == 1
    assert api.existing_run(tmp_path / "two").stage("match").manifest["resumed"] is True
    assert api.verify(tmp_path / "two")["faults"] == []
    reads = [(row["who"], *row["splits"]) for row in rows_of(tmp_path / "two", "access.jsonl") if "why" in row]
    assert reads.count(("fit", "train")) == 1  # two processes read it, and one keeps the journal
    assert products(tmp_path / "two") == products(Path(one.run))
    assert scores_of(tmp_path / "two") == scores_of(Path(one.run))
    for stage in ("fit", "match"):
        both = list(zip(*(curve_of(tmp_path / name, stage) for name in ("one", "two")), strict=True))
        scored = [(row, other) for row, other in both if "dev_score" in row]
        assert all(row == pytest.approx(other, abs=1e-5) for row, other in both if "dev_score" not in row)
        assert all(row["step"] == other["step"] for row, other in scored)
        # Sums in another order may tip a word of a text, and with it the set that a score is of: on some processors.
        tipped = [row for row, other in scored if row != pytest.approx(other, abs=0.06)]
        assert len(tipped) <= len(scored) / 4


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dilm")


def options(said: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    named = [word for name, value in said.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return named + [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


def begin(command: list[str], folder: Path) -> subprocess.Popen[str]:
    """With workers besides, who must take themselves for nobody's equals."""
    environment = ordinary() | {"DILM_CACHE": str(folder / "cache of two")}
    return subprocess.Popen(
        [*command, "--set", "runtime.workers=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
