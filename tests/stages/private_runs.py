"""Settings with which the whole road under differential privacy takes seconds."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

from tiny_runs import SETTINGS

EPSILON = 300.0
"""Promises next to nothing: so few rows and steps would drown in the noise of a real budget."""
WORDS = {"no": ("dull", "slow", "bad"), "yes": ("warm", "lovely", "fine")}
THINGS = ("plot", "music", "end", "cast")

PRIVATE: dict[str, Any] = SETTINGS | {
    "dp.accountant": "rdp",
    "data.dev_rows": 40,
    "data.test_rows": 40,
    "fit.steps": 60,
    "fit.check_every": 20,
    "fit.batch": 64,
    "fit.contrast": 0.0,
    "match.teacher_sets": 0,
    "match.ages": 1,
    "match.check_every": 0,
    "generate.attempts": 60,
    "select.sets": 1,
    "evaluate.baselines": "random,typical",
    "evaluate.seeds": 1,
    "evaluate.steps": 4,
    "models.max_tokens": 40,
}


def write_data(folder: Path) -> dict[str, Any]:
    """A file of 400 short reviews, and a public one of like words; what `distill` is told of them."""
    rng = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "reviews.csv").open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("text", "label"))
        for at in range(400):
            label = list(WORDS)[at % 2]
            table.writerow((f"{rng.choice(THINGS)} {rng.choice(WORDS[label])} {rng.choice(THINGS)}", label))
    every = [word for words in WORDS.values() for word in words]
    lines = [f"{rng.choice(THINGS)} {rng.choice(every)} {rng.choice(THINGS)}" for _ in range(200)]
    (folder / "public.txt").write_text("\n".join(lines), encoding="utf-8")
    return {
        "source": folder / "reviews.csv",
        "per_class": 3,
        "generator": "scratch:tiny",
        "recipe": "private-toy",
        "epsilon": EPSILON,
        "settings": PRIVATE | {"pretrain.corpus": str(folder / "public.txt")},
    }
