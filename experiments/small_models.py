"""Settings for models made from scratch, which want higher rates than the paper's: those of the toy recipe."""

from __future__ import annotations

from typing import Any

SMALL_MODELS: dict[str, Any] = {
    "models.generator": "scratch:mini",
    "models.learner": "scratch",
    "fit.steps": 600,
    "fit.lr": 3e-3,
    "fit.check_every": 200,
    "match.lr": 3e-4,
    "generate.oversample": 50,
    "evaluate.lr": 3e-3,
    "evaluate.warmup": 0.1,
}
