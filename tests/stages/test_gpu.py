"""The whole road on a GPU: it walks, the roads of matching agree, and a CPU reads what it made."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dilm import api
from dilm.distilled import Distilled

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]

Again = Callable[..., Distilled]


@pytest.mark.parametrize("part", ["head", "last:1", "lora:2"])
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_the_whole_road_walks(again: Again, tmp_path: Path, part: str, precision: str):
    settings = {"runtime.device": "cuda", "runtime.precision": precision, "match.gradient": part}
    found = again(tmp_path / "run", settings)
    curve = api.existing_run(found.run).stage("match").manifest["curve"]
    assert found.data.counts == (3, 3)
    assert all(math.isfinite(value) for row in curve for value in row.values())


@pytest.mark.parametrize("part", ["head", "last:1", "all", "lora:2"])
def test_both_roads_match_alike(again: Again, tmp_path: Path, part: str):
    curves = []
    for road in ("fast", "autograd"):
        settings = {"runtime.device": "cuda", "match.gradient": part, "match.road": road, "match.check_every": 0}
        run = again(tmp_path / road, settings).run
        curves.append([row["similarity"] for row in api.existing_run(run).stage("match").manifest["curve"]])
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)


def test_a_run_that_a_gpu_began_is_finished_by_a_cpu(again: Again, tmp_path: Path):
    run = api.existing_run(again(tmp_path / "run", {"runtime.device": "cuda"}).run)
    (Path(run.folder) / "generate" / "manifest.json").unlink()
    on_cpu = api.change_settings(run, {"runtime.device": "cpu", "runtime.precision": "fp32"})
    assert api.run_stage(on_cpu, "generate")
