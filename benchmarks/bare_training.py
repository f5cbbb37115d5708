"""What a fine-tuning cannot do without: the model's own passes and the optimiser's, on batches that are ready."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from dilm.models.classifier import Classifier
from dilm.runtime.device import Place
from dilm.types import Dataset


@dataclass(frozen=True)
class Training:
    """Of the model in a folder: so many steps on the same rows, all at once, then the answers to others."""

    model: str
    rows: Dataset
    asked: Dataset
    steps: int
    place: Place


def train(training: Training) -> None:
    """Nothing is tokenised twice, no head drawn, no weight put back, no rate or gradient held within bounds."""
    learner = _opened(training.model, training.rows, training.place)
    batch = learner.inputs(training.rows)
    truth = torch.tensor(training.rows.labels, device=training.place.device)
    adam = torch.optim.AdamW(learner.model.parameters(), lr=1e-4, fused=True)
    learner.train()
    for _ in range(training.steps):
        adam.zero_grad()
        with training.place.autocast():
            logits = learner.model(**batch).logits
        torch.nn.functional.cross_entropy(logits.float(), truth).backward()
        adam.step()
    learner.predict(training.asked)


@lru_cache(maxsize=1)
def _opened(model: str, rows: Dataset, place: Place) -> Classifier:
    return Classifier.open(model, rows.task, place, rows.task.max_tokens)
