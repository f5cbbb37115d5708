"""Ours and random rows, trained on in two more ways: with a teacher's soft labels, and with augmented texts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dilm.build import Bench
from dilm.evaluation.variants import AUGMENTED, SOFT, augmented, softened
from dilm.runtime.seeding import python_stream
from dilm.types import Dataset

VARIED = ("dilm", "random")
VARIANTS = tuple(f"{name}+{way}" for name in VARIED for way in (SOFT, AUGMENTED))


def variants(bench: Bench, sets: Mapping[str, list[Dataset]]) -> dict[str, list[Dataset]]:
    """What is to be trained on besides `sets`: nothing unless the recipe asks for it."""
    if not bench.recipe.evaluate.robust:
        return {}
    return {name: _varied(bench, sets[name.partition("+")[0]], name) for name in VARIANTS}


def _varied(bench: Bench, several: list[Dataset], name: str) -> list[Dataset]:
    if name.endswith(SOFT):
        return [softened(rows, _taught(bench, rows)) for rows in several]
    streams = [python_stream(bench.recipe.seed, name, number) for number in range(len(several))]
    return [augmented(rows, rng) for rows, rng in zip(several, streams, strict=True)]


def _taught(bench: Bench, rows: Dataset) -> np.ndarray:
    """Probabilities of the classes: [n, C], by the probe that was fitted to all train rows."""
    return np.exp(bench.probe.log_probabilities(bench.encoder.encode(rows)))
