"""Gradients of a learner's last linear layer: the closed form, and the plain autograd road that it must equal.

For logits z = W h + b and cross-entropy against class y, the gradient in [W, b] of one example is
(softmax(z) - onehot(y)) outer [h, 1]; a soft label stands in place of the onehot. So a forward pass without a graph
gives every example's gradient exactly, and the gradient of a weighted batch is linear in the weights (paper 3.2;
DESIGN: no backward pass through the learner).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def head_gradients(features: Tensor, logits: Tensor, targets: Tensor, bias: bool) -> Tensor:
    """Per-example gradients of the cross-entropy in the head: [n, d], [n, C], [n] or [n, C] -> [n, C*d (+ C)].

    `targets` are classes, or their probabilities. Flattened as autograd gives them: the weight row by row, then the
    bias where the head has one.
    """
    wanted = targets if targets.ndim == 2 else nn.functional.one_hot(targets, logits.shape[-1])
    residual = torch.softmax(logits, dim=-1) - wanted.to(logits.dtype)  # [n, C]
    weight = torch.einsum("nc,nd->ncd", residual, features).flatten(1)  # [n, C*d]
    return torch.cat([weight, residual], dim=1) if bias else weight


def weighted_gradient(losses: Tensor, weights: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Gradient of the weighted loss by autograd, itself differentiable in the weights: [n], [n] -> [P].

    The plain road: it keeps the learner's graph and differentiates twice. The closed form is tested against it.
    """
    pieces = torch.autograd.grad((weights * losses).sum(), parameters, create_graph=True)
    return torch.cat([piece.flatten() for piece in pieces])
