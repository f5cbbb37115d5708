"""Settings with which the whole road takes seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from dilm import api

START: dict[str, Any] = {"text": "review", "label": "stars", "per_class": 3, "generator": "scratch:tiny", "seed": 4}

SETTINGS: dict[str, Any] = {
    "models.max_tokens": 24,
    "pretrain.vocabulary": 300,
    "pretrain.steps": 4,
    "pretrain.batch": 8,
    "fit.steps": 60,
    "fit.check_every": 20,
    "fit.batch": 16,
    "fit.lr": 1e-2,
    "match.steps": 4,
    "match.synthetic": 8,
    "match.real": 8,
    "match.teacher_sets": 2,
    "match.refresh_every": 2,
    "match.clusters": 2,
    "match.ages": 2,
    "match.age_steps": 2,
    "match.trajectories": 1,
    "match.check_every": 2,
    "match.check_sets": 1,
    "match.check_per_class": 2,
    "match.check_oversample": 2,
    "match.check_steps": 12,
    "match.check_rows": 20,
    "generate.oversample": 3,
    "generate.attempts": 20,
    "select.sets": 2,
    "race.candidates": 3,
    "race.seeds": 2,
    "race.steps": 2,
    "race.rows": 20,
    "evaluate.seeds": 2,
    "evaluate.steps": 12,
    "evaluate.lr": 5e-3,
    "evaluate.full_steps": 4,
    "runtime.device": "cpu",
    "runtime.precision": "fp32",
    "runtime.threads": 1,
    "runtime.workers": 1,
}


def rows_of(run: Path, file: str = "scores.jsonl") -> list[dict[str, Any]]:
    """Rows as they stand in a file of the run."""
    path = run / file
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def scores_of(run: Path) -> dict[str, float]:
    """Trial key to value, of every trial that the run knows; none is measured twice, none is named twice."""
    named = rows_of(run)
    assert len({name_of(row) for row in named}) == len(named)
    rows = [*rows_of(run, "earlier-scores.jsonl"), *named]
    assert len({(row["trial"], row["value"], row["seconds"]) for row in rows}) == len({row["trial"] for row in rows})
    return {row["trial"]: row["value"] for row in rows}


def name_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a trial is called, whatever it was measured on."""
    return tuple(row[name] for name in ("method", "learner", "per_class", "set", "seed"))


def products(run: Path) -> dict[str, str]:
    """Everything that a run made of text: the pools, the sets, the product."""
    return {str(file.relative_to(run)): file.read_text("utf-8") for file in sorted(run.glob("*/*.jsonl"))}


def weights_of(run: Path, stage: str) -> dict[str, Tensor]:
    """Without the biases of attention's keys: no loss depends on them, so their steps are rounding errors magnified."""
    found = load_file(run / stage / "model" / "model.safetensors")
    for name in found:
        if name.endswith("attn.c_attn.bias"):
            query, _, value = found[name].chunk(3)
            found[name] = torch.cat([query, value])
    return found


def curve_of(run: Path, stage: str) -> list[dict[str, Any]]:
    """What was measured while the stage trained."""
    return (api.existing_run(run).stage(stage).manifest or {})["curve"]
