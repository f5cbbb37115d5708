"""Settings with which the whole road of a task whose target is text takes seconds."""

from __future__ import annotations

from typing import Any

SHORT: dict[str, Any] = {
    "data.dev_rows": 10,
    "data.test_rows": 12,
    "models.max_tokens": 32,
    "pretrain.steps": 2,
    "generation.conditions": 2,
    "generation.answers": 2,
    "generation.coherence": 0.5,
    "generation.diversity": 0.5,
    "generation.coverage": 0.5,
    "fit.steps": 80,
    "fit.contrast": 0.0,
    "match.steps": 2,
    "match.refresh_every": 1,
    "match.synthetic": 4,
    "match.check_every": 2,
    "match.check_select": "random",
    "match.check_steps": 2,
    "match.check_rows": 8,
    "match.gradient": "last:1",
    "match.lm_lambda": 0.1,
    "generate.attempts": 60,
    "select.method": "kmeans_nearest",
    "select.filters": ("covered", "fluency:0.9"),
    "evaluate.seeds": 1,
    "evaluate.steps": 3,
    "evaluate.full_steps": 3,
    "evaluate.baselines": ("random", "random@tokens", "perplexity", "el2n", "full"),
}
SAID: dict[str, Any] = {"text": "ask", "target": "say", "per_class": 2, "generator": "scratch:tiny", "seed": 4}
