"""Distillation into embeddings, a part of the recipe's page."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe.prompt import DOOR


@dataclass(frozen=True, config=DOOR)
class Embed:
    """Distillation into embeddings (Sucholutsky & Schonlau 2021), where a baseline is `tdd` or `tdd_text`."""

    steps: int = 200
    """Updates of the embeddings, each through a whole unrolled training of the learner."""
    batch: int = 64
    """Real rows on which the trained learner is asked."""
    lr: float = 0.05
    """Peak learning rate of embeddings, labels and rates."""
    warmup: float = 0.05
    unroll: int = 10
    """Steps of the learner's training; memory grows with them."""
    per_step: int = 1
    """Embeddings of each class in one of these steps, taken in turn."""
    rate: float = 0.1
    """Learning rate that each of these steps starts from; it is learnt."""
    start: str = "texts"
    """What the embeddings are before they are learnt: real texts, whose tokens may still be the nearest afterwards, or
    tokens drawn at random."""
    labels: str = "soft"
    """soft labels are learnt, hard ones stay."""
    trains: str = "all"
    """What the steps train: all weights, or the head."""
    attention: str = "none"
    """Attention labels (Maekawa et al. 2023), learnt too: none, cls (where the head reads) or all positions."""
    attention_weight: float = 1.0
    """How much they count beside the labels in each of these steps."""
    check_every: int = 20
    """Updates between the points that a killed run resumes from."""
