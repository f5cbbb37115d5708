"""Language-model training of the generator: it learns to write examples of each class (paper 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dilm.protocols import Generator, Updater
from dilm.runtime.batches import rows_of_step
from dilm.runtime.seeding import derive, seed_torch
from dilm.types import Dataset, Example


def fit(generator: Generator, train: Dataset, update: Updater, steps: range, batch: int, seed: int) -> Iterator[float]:
    """Train on class-conditional texts; yields the mean token nll of each step's batch, after the step.

    A step depends on the weights and on its number only, so `steps` may begin anywhere.
    """
    order = derive(seed, "fit", "rows")
    for step in steps:
        generator.train()
        seed_torch(seed, "fit", step)  # dropout
        rows = rows_of_step(len(train), step, batch, order)
        examples = [train[row] for row in rows]
        yield update([generator.nll(examples).mean()], 1)


@torch.no_grad()
def held_out_nll(generator: Generator, rows: Dataset, batch: int = 64) -> float:
    """Mean nll per text on rows that the generator is not trained on, without dropout."""
    generator.eval()
    ordered = sorted(rows, key=lambda example: sum(map(len, example.texts)))  # like lengths together: less padding
    total = sum(float(generator.nll(ordered[first : first + batch]).sum()) for first in range(0, len(ordered), batch))
    return total / len(ordered)


@torch.no_grad()
def told_apart(generator: Generator, rows: Dataset, batch: int = 64) -> float:
    """Share of rows that are likeliest under their own class: what the generator knows of the classes.

    At 1 / classes its condition tokens mean nothing yet, and no selection can make its texts fit their labels.
    """
    generator.eval()
    right = 0
    for first in range(0, len(rows), batch):
        examples = rows.examples[first : first + batch]
        under = [
            generator.nll([Example(example.texts, label) for example in examples]) for label in rows.task.conditions
        ]
        likeliest = torch.stack(under).argmin(dim=0).tolist()
        right += sum(label == example.label for label, example in zip(likeliest, examples, strict=True))
    return right / len(rows)
