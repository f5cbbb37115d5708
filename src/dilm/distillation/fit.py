"""Language-model training of the generator: it learns to write examples of each class (paper 3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from dilm.distillation.fluency import predicting
from dilm.numerics.likelihood import pooled_nll, shares, token_costs
from dilm.protocols import Generator, Updater
from dilm.runtime.batches import rows_of_step
from dilm.runtime.seeding import derive, python_stream, seed_torch
from dilm.types import Dataset, Example


@dataclass(frozen=True)
class Lessons:
    """What a step shows: `batch` rows, and with `contrast` above 0 each of them under another class too."""

    train: Dataset
    batch: int
    contrast: float
    seed: int
    smoothing: float = 0.0
    """Share of each token's target that goes to all tokens alike."""
    mean_over: str = "tokens"
    """What counts alike in a step's loss: `tokens`, or `texts`."""


def fit(generator: Generator, lessons: Lessons, update: Updater, steps: range) -> Iterator[float]:
    """Train on class-conditional texts; yields the mean token nll of each step's batch, before the step.

    A step depends on the weights and on its number only, so `steps` may begin anywhere.
    """
    train, seed = lessons.train, lessons.seed
    order = derive(seed, "fit", "rows")
    for step in steps:
        generator.train()
        seed_torch(seed, "fit", step)  # dropout
        examples = [train[row] for row in rows_of_step(len(train), step, lessons.batch, order)]
        examples.sort(key=lambda example: example.characters)
        others = under_another_class(examples, len(train.task.labels), python_stream(seed, "contrast", step))
        yield _descend(generator, list(zip(examples, others, strict=True)), lessons, update)


def _descend(generator: Generator, pairs: list[tuple[Example, Example]], lessons: Lessons, update: Updater) -> float:
    """One step on examples, each beside itself under another class; returns their mean token nll, before the step."""
    counts = shares(generator.lengths([own for own, _ in pairs]), lessons.mean_over)  # [n]
    seen: dict[int, float] = {}

    def losses(places: Sequence[int]) -> Tensor:
        examples, others = zip(*(pairs[place] for place in places), strict=True)
        own, loss = lesson(generator, examples, others, lessons.contrast, lessons.smoothing)
        weights = counts[list(places)]
        seen.update(zip(places, (weights * own).tolist(), strict=True))
        return weights * loss

    update.on(losses, range(len(pairs)))
    return update.mean(list(seen.values()))


def lesson(
    generator: Generator,
    examples: Sequence[Example],
    others: Sequence[Example],
    contrast: float,
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Mean token nll of each example, and the loss that it is learnt by: n examples, the same otherwise -> [n], [n].

    Smoothing is about writing; that a text is likelier under its own class is asked of plain likelihoods.
    """
    if smoothing:
        own, spread = plain_and_spread(generator, examples)
        loss = (1 - smoothing) * own + smoothing * spread
        if contrast:
            unlike = contrastive(own, generator.nll(others), generator.lengths(examples))
            loss = (1 - contrast) * loss + contrast * unlike
        return own.detach(), loss
    if not contrast:
        own = generator.nll(examples)
        return own.detach(), own
    own, other = generator.nll([*examples, *others]).chunk(2)
    unlike = contrastive(own, other, generator.lengths(examples))
    return own.detach(), (1 - contrast) * own + contrast * unlike


def plain_and_spread(generator: Generator, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Mean token nll of each example, and the mean nll of all tokens in the places of its own: n examples -> [n], [n].

    Raises RecipeError for a generator that does not tell what it expects.
    """
    lengths = generator.lengths(examples)
    sums = lengths.new_zeros((2, len(examples)), dtype=torch.float32)
    for logits, targets, owner in predicting(generator, "fit.label_smoothing")(examples):
        sums = sums.index_add(1, owner, torch.stack(token_costs(logits, targets)))
    own, spread = sums / lengths
    return own, spread


def contrastive(own: Tensor, other: Tensor, lengths: Tensor) -> Tensor:
    """-log P(own class | text, one of two) per token: mean nlls of a token under either class, token counts -> [n].

    The discriminative loss of GeDi (Krause et al. 2021) on likelihoods of whole texts: classes that are equally
    frequent, Bayes' rule, nothing to learn besides the language model. The class is one answer for a whole text, its
    likelihood a mean over tokens; divided by the length both are nats per token, and neither drowns the other.

    >>> contrastive(torch.tensor([2.0]), torch.tensor([2.0]), torch.tensor([7])).mul(7).exp().round(decimals=3).item()
    2.0
    """
    return torch.nn.functional.softplus(lengths * (own - other)) / lengths


def under_another_class(examples: Sequence[Example], classes: int, rng: Random) -> list[Example]:
    """The same texts, each under one of the classes that are not its own."""
    return [Example(example.texts, (example.label + rng.randrange(1, classes)) % classes) for example in examples]


@torch.no_grad()
def held_out_nll(generator: Generator, rows: Dataset, batch: int = 64) -> float:
    """Mean nll of a token of rows that the generator is not trained on, without dropout."""
    generator.eval()
    ordered = sorted(rows, key=lambda example: example.characters)  # less padding
    return pooled_nll(generator.nll, generator.lengths, ordered, batch)


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
