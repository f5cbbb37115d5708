"""The shape of a transformer, and what follows from it: weights, and bytes of training and writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dilm.models.hub import open_config
from dilm.models.scratch import named_size

TRAINED_BYTES = 16
"""A trained weight in float32: itself, its gradient, two moments."""
KEPT_PER_LAYER = 40
"""Floats that a layer keeps of each token for its backward pass, in multiples of its width."""
KEPT_PER_WORD = 2.5
"""Floats kept of each token for each word of the vocabulary: logits, their logarithms, some of their gradients."""


@dataclass(frozen=True)
class Shape:
    """A transformer as far as it decides what a token costs; a vocabulary of 0 stands for a model that only reads."""

    layers: int
    width: int
    vocabulary: int
    words: int
    """Rows of the embedding table."""

    @property
    def multiplied(self) -> float:
        """Weights that a token is multiplied with."""
        return 12.0 * self.layers * self.width**2 + self.vocabulary * self.width

    @property
    def weights(self) -> float:
        """All of them; the vocabulary layer is the embedding table."""
        return 12.0 * self.layers * self.width**2 + self.words * self.width

    def training(self, tokens: float) -> float:
        """Bytes of a training step on so many tokens."""
        kept = KEPT_PER_LAYER * self.layers * self.width + KEPT_PER_WORD * self.vocabulary
        return TRAINED_BYTES * self.weights + 4 * kept * tokens

    def writing(self, texts: int, tokens: float) -> float:
        """Bytes of a batch of texts that is being written: weights, keys and values, one step's logits."""
        return 4 * (self.weights + texts * (2 * self.layers * self.width * tokens + 3 * self.vocabulary))


@dataclass(frozen=True)
class Company:
    """The generators of a run, which read and write as one: those of a mixture, or a single one."""

    members: tuple[Shape, ...]

    @property
    def multiplied(self) -> float:
        """Weights that a token is multiplied with, where all members say how likely it is."""
        return sum(member.multiplied for member in self.members)

    @property
    def shared(self) -> float:
        """The same of a text that one of them learns or writes."""
        return self.multiplied / len(self.members)

    def training(self, tokens: float) -> float:
        """Bytes of a step in which every member reads so many tokens."""
        return sum(member.training(tokens) for member in self.members)

    def writing(self, texts: int, tokens: float) -> float:
        """Bytes of a batch of texts: one member writes, and the weights of the others are there."""
        idle = [4 * (sum(member.weights for member in self.members) - member.weights) for member in self.members]
        return max(each + member.writing(texts, tokens) for each, member in zip(idle, self.members, strict=True))


def small(size: str, words: int) -> Shape:
    """Of a model from scratch with so many words."""
    shape = named_size(size)
    return Shape(shape.layers, shape.width, words, words)


def opened(name: str) -> Shape:
    """Read from the model's config."""
    config: Any = open_config(name).get_text_config()
    return Shape(config.num_hidden_layers, config.hidden_size, config.vocab_size, config.vocab_size)
