"""What a linear head can tell of a pair: how its two texts relate, beside what each of them says.

An encoder that was never taught pairs, given two texts in one, says what both are about. Whether they say the same, or
one follows from the other, stands in the difference and the product of their points (Conneau et al. 2017, InferSent),
and in the words that they share.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dilm.numerics.words import words
from dilm.protocols import Encoder
from dilm.types import Example

BLOCKS = 4
"""A pair's point is so many times as wide as a text's."""
TINY = 1e-12


class PairEncoder:
    """Pairs as points on the unit sphere, made of where an encoder puts each of their texts alone."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        """float32 [n, 4 d], each row of length 1, from an encoder of d dimensions."""
        return compared(*(self.encoder.encode([_alone(row, field) for row in examples]) for field in (0, 1)))


def compared(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(u, v, |u - v|, √d u∘v) of points u, v of length 1, scaled to length 1: [n, d], [n, d] -> float32 [n, 4 d].

    The root gives products the size of the other numbers, which are about 1 / √d. Of an encoder with few large
    directions they would be far larger: they are shortened to 2, the greatest length of a difference.

    >>> compared(np.array([[1.0]]), np.array([[-1.0]])).astype(float).round(2).tolist()  # 1, -1, 2, -1
    [[0.38, -0.38, 0.76, -0.38]]
    """
    product = np.sqrt(left.shape[1]) * left * right
    product *= np.minimum(1, 2 / np.maximum(np.linalg.norm(product, axis=1, keepdims=True), TINY))
    found = np.concatenate([left, right, np.abs(left - right), product], axis=1).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def shared_words(examples: Sequence[Example]) -> np.ndarray:
    """Which share of the first text's different words stands in the second, and the other way round: [n, 2].

    >>> shared_words([Example(("Is it far?", "How far is it now"), 0)]).tolist()
    [[1.0, 0.6]]
    """
    found = np.zeros((len(examples), 2))
    for row, example in zip(found, examples, strict=True):
        left, right = (frozenset(words(text)) for text in example.texts)
        row[:] = [len(left & right) / max(len(own), 1) for own in (left, right)]
    return found


def _alone(example: Example, field: int) -> Example:
    return Example((example.texts[field],), example.label)
