"""How far the gradient of synthetic text is from the gradient of real text."""

from __future__ import annotations

from torch import Tensor, nn


def cosine_mismatch(target: Tensor, synthetic: Tensor) -> Tensor:
    """1 - cosine similarity of two gradients: [P], [P] -> scalar in [0, 2] (paper 3.2)."""
    return 1.0 - nn.functional.cosine_similarity(target.float(), synthetic.float(), dim=0)
