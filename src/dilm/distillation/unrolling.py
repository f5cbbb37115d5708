"""Training a learner on embeddings by plain gradient descent, as a function that can itself be differentiated.

A weight after the last step is a function of the rows, their labels and the learning rates; its derivative runs
through every gradient on the way. So what is learnt and how it is used are one and the same few steps of SGD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dilm.distillation.attention import LABELLED, Looking, attention_mismatch
from dilm.errors import RecipeError
from dilm.types import Example, Task

TRAINED = ("all", "head")
"""Which weights the steps train: every one that the loss depends on, or those of the last layer."""

Inputs = dict[str, Tensor]
"""Keyword arguments of a model's forward pass."""

Weights = dict[str, Tensor]
"""Weights by name; the learner keeps its own where a name is missing."""


class EmbeddingLearner(Protocol):
    """A learner that reads embeddings in place of texts, and with other weights than its own."""

    task: Task
    model: Any
    """An `nn.Module` of transformers."""
    encodings: Any
    """With the `tokenizer` that belongs to the model."""

    @property
    def identity(self) -> str:
        """Content key of what `reset` brings back."""
        ...

    def reset(self, seed: int) -> None:
        """Restore every weight, draw the head anew from `seed`, leave the learner in eval mode."""
        ...

    def head_parameters(self) -> list[nn.Parameter]:
        """The last layer."""
        ...

    def inputs(self, examples: Sequence[Example]) -> Inputs:
        """What the model is given to read texts."""
        ...

    def embed(self, examples: Sequence[Example]) -> Inputs:
        """The same with `inputs_embeds` [n, T, d] in place of token numbers."""
        ...

    def logits(self, inputs: Inputs, weights: Mapping[str, Tensor]) -> Tensor:
        """[n, C], differentiable in the inputs and in the weights."""
        ...

    def attend(self, inputs: Inputs, weights: Mapping[str, Tensor], whose: str) -> tuple[Tensor, Tensor]:
        """As `logits`, and the attention of one position or all: [n, C], [n, layers, heads, q, T]."""
        ...


@dataclass(frozen=True)
class Unrolling:
    """How a learner is trained on learnt rows: the same when they are learnt and whenever they are used."""

    steps: int
    per_step: int
    """Rows of each class in one step, taken in turn."""
    trains: str = "all"
    """`all` weights, or the `head` alone."""
    attention: str = "none"
    """Whose attention has labels: `none`, `cls` (of the position that the head reads) or `all`."""
    attention_weight: float = 1.0
    """How much the divergence from these counts beside the cross-entropy."""

    def __post_init__(self) -> None:
        if self.attention not in LABELLED:
            raise RecipeError(f"Attention {self.attention!r} is none of {', '.join(LABELLED)}.", "Use `cls`.")
        if self.trains not in TRAINED:
            raise RecipeError(f"Weights {self.trains!r} are none of {', '.join(TRAINED)}.", "Use `all`.")
        if self.steps < 1 or self.per_step < 1:
            raise RecipeError("Learning embeddings takes at least one step with at least one row.", "Ask for more.")

    def rows(self, step: int, per_class: int, classes: int) -> list[int]:
        """Row numbers of a step, where rows stand class by class.

        >>> Unrolling(steps=2, per_step=2).rows(step=1, per_class=3, classes=2)
        [2, 0, 5, 3]
        """
        turn = [(step * self.per_step + place) % per_class for place in range(min(self.per_step, per_class))]
        return [label * per_class + row for label in range(classes) for row in turn]


class Lesson(NamedTuple):
    """One step of SGD: what is read, what should be said of it ([n, C], each row sums to 1), and how far to go."""

    inputs: Inputs
    labels: Tensor
    rate: Tensor
    looking: Looking | None = None
    """Where the learner should look, if that is taught too."""


def unroll(learner: EmbeddingLearner, lessons: Iterable[Lesson], trains: str) -> Weights:
    """Every weight after all lessons, differentiable in them; the learner itself stays as it is."""
    weights = own_weights(learner, trains)
    for lesson in lessons:
        weights = descend(learner, weights, lesson, create_graph=True)
    return weights


def train(learner: EmbeddingLearner, lessons: Iterable[Lesson], trains: str) -> None:
    """Give the learner the weights that `unroll` would return, one graph at a time."""
    weights = own_weights(learner, trains)
    for lesson in lessons:
        after = descend(learner, weights, lesson, create_graph=False)
        weights = {name: weight.detach().requires_grad_(weight.requires_grad) for name, weight in after.items()}
    with torch.no_grad():
        for name, weight in weights.items():
            learner.model.get_parameter(name).copy_(weight)


def descend(learner: EmbeddingLearner, weights: Weights, lesson: Lesson, create_graph: bool) -> Weights:
    """One step of SGD. Weights that embeddings do not reach, such as the table of token embeddings, stay."""
    trained = {name: weight for name, weight in weights.items() if weight.requires_grad}
    with sdpa_kernel(SDPBackend.MATH):  # the fast attention kernels have no second derivative
        loss = lesson_loss(learner, weights, lesson)
        pieces = torch.autograd.grad(loss, list(trained.values()), create_graph=create_graph, allow_unused=True)
    return weights | {
        name: weight - lesson.rate * piece
        for (name, weight), piece in zip(trained.items(), pieces, strict=True)
        if piece is not None
    }


def lesson_loss(learner: EmbeddingLearner, weights: Weights, lesson: Lesson) -> Tensor:
    """What a step descends: cross-entropy, and the divergence from the attention labels where there are any."""
    if lesson.looking is None:
        return nn.functional.cross_entropy(learner.logits(lesson.inputs, weights), lesson.labels)
    labels, weight = lesson.looking
    whose = "cls" if labels.shape[-2] == 1 else "all"
    logits, attention = learner.attend(lesson.inputs, weights, whose)
    return nn.functional.cross_entropy(logits, lesson.labels) + weight * attention_mismatch(labels, attention)


def own_weights(learner: EmbeddingLearner, trains: str) -> Weights:
    """The learner's weights by name; trained ones are leaves of their own, so that its gradients stay untouched."""
    head = {id(parameter) for parameter in learner.head_parameters()}
    return {
        name: parameter.detach().requires_grad_(trains == "all" or id(parameter) in head)
        for name, parameter in learner.model.named_parameters()
    }
