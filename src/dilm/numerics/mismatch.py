"""How far the gradient of synthetic text is from the gradient of real text."""

from __future__ import annotations

from torch import Tensor, nn

from dilm.numerics.gradients import at_least_float32


def cosine_mismatch(target: Tensor, synthetic: Tensor) -> Tensor:
    """1 - cosine similarity of two gradients: [P], [P] -> scalar in [0, 2] (paper 3.2).

    Where the synthetic one is: a target that was kept on disk comes from there to the processor.
    """
    target = target.to(synthetic.device)
    return 1.0 - nn.functional.cosine_similarity(at_least_float32(target), at_least_float32(synthetic), dim=0)
