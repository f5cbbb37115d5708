"""Matching whose answer is plain: proposals are fixed real rows of the condition, the target two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from dilm.distillation.match import GradientRoad, Matching
from dilm.models.classifier import Classifier
from dilm.types import Dataset, Example

Mean = Callable[[Classifier, Sequence[Example]], Tensor]


def plain_problem(learner: Classifier, train: Dataset, mean: Mean, road: GradientRoad) -> Matching:
    """Targets are the `mean` gradient of their rows."""
    proposals = {condition: train.of(condition).examples[:8] for condition in train.task.conditions}
    targets = {condition: mean(learner, rows[2:4]) for condition, rows in proposals.items()}
    return Matching(
        learner,
        trajectory=lambda _, step: None,
        target=lambda _, condition, step: targets[condition],
        proposals=lambda condition, step: proposals[condition],
        road=road,
    )
