"""One believable run, of which each test changes what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dilm.reports import methods
from dilm.reports.findings import Bar, Cost, Findings
from dilm.types import Dataset, Example, Provenance, Score, Task

TASK = Task("films", ("review",), ("negative", "positive"))


def make_bar(method: str, mean: float, half: float | None = 0.01, learner: str = "bert", sets: int = 5) -> Bar:
    """A bar whose interval is `half` wide to either side, or missing."""
    low, high = (None, None) if half is None else (mean - half, mean + half)
    seeds = 1 if half is None else 4
    size = 0 if method == methods.CEILING else 2
    return Bar(method, learner, size, mean, low, high, sets, seeds, methods.describe(method).kind)


def make_scores(bar: Bar) -> list[Score]:
    """Trials around the mean of a bar."""
    return [
        Score(bar.method, bar.learner, bar.per_class, draw, seed, bar.mean + 0.001 * seed, bar.mean, bar.mean, 4, 2.0)
        for draw in range(bar.sets)
        for seed in range(bar.seeds)
    ]


def make_findings(**changes: Any) -> Findings:
    """Findings with everything in them; `changes` replace fields."""
    bars = (
        make_bar("dilm", 0.78),
        make_bar("random", 0.70),
        make_bar("kmeans_nearest", 0.77),
        make_bar("untuned", 0.74),
        make_bar("full", 0.92, half=None, sets=1),
    )
    texts = ("a dull film", "no fun at all", "a warm film", "great fun")
    fields: dict[str, Any] = {
        "task": TASK,
        "distilled": Dataset(TASK, [Example((text,), row // 2) for row, text in enumerate(texts)]),
        "per_class": 2,
        "provenance": Provenance("k3y", 7, "0.1.0", {"fit": "f1t"}, {"torch": "2.13"}),
        "scores": tuple(score for bar in bars for score in make_scores(bar)),
        "bars": bars,
        "curves": {
            "fit": ({"step": 0, "train_nll": 5.0, "dev_nll": 5.1}, {"step": 10, "train_nll": 3.0}),
            "match": ({"step": 0, "similarity": 0.3, "dev_score": 0.7}, {"step": 5, "similarity": 0.5}),
        },
        "rejected": {"dilm": {"kept": 90, "duplicate": 10}, "untuned": {"kept": 3, "odd": 1}},
        "recipe": {"seed": 7, "fit": {"steps": 100, "extra": {"lr": 1e-5}, "fields": ["review"]}},
        "costs": (Cost("fit", 60.0, 2048.0, 3_140_000), Cost("match", 3600.0)),
        "splits": {"train": 1000, "dev": 100, "test": 200},
        "notes": ("Full data was scored once.",),
    }
    return Findings(**(fields | changes))


@pytest.fixture(scope="session")
def findings() -> Callable[..., Findings]:
    """The builder of findings."""
    return make_findings


@pytest.fixture(scope="session")
def bar() -> Callable[..., Bar]:
    """The builder of bars."""
    return make_bar
