"""One training of a learner from its initial state: the paper's protocol (200 steps, AdamW 1e-4, batch 64)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dilm.protocols import Chooser, Learner
from dilm.runtime.batches import rows_of_step
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.seeding import derive, seed_torch
from dilm.types import Dataset, Example


def finetune(
    learner: Learner,
    rows: Dataset,
    schedule: Schedule,
    batch: int,
    seed: int,
    advance: Callable[..., None] | None = None,
) -> None:
    """Reset the learner and train it on `rows`; the same seed gives the same head, order and dropout."""
    learner.reset(derive(seed, "head"))
    learner.train()
    order = derive(seed, "rows")
    with learner.reading_only(rows, schedule.kept):
        update = AdamW(learner.parameters(), schedule)
        for step in range(schedule.steps):
            seed_torch(seed, "dropout", step)
            examples = [rows[row] for row in rows_of_step(len(rows), step, batch, order)]
            loss = update.on(learner.loss, sorted(examples, key=lambda example: example.characters))
            if advance:
                advance(1, loss=loss)
    learner.eval()


@dataclass(frozen=True)
class Finetuned:
    """A learner with the way it is trained: a `Student`."""

    learner: Chooser
    schedule: Schedule
    batch: int

    def train_on(self, rows: Dataset, seed: int) -> None:
        """From the initial weights and a new head."""
        finetune(self.learner, rows, self.schedule, self.batch, seed)

    def predict(self, examples: Sequence[Example]) -> list[int]:
        """Most likely class of each example."""
        return self.learner.predict(examples)
