"""Gradients of a learner: the last layer's in closed form, a weighted batch's, and the plain autograd road.

For logits z = W h + b and cross-entropy against class y, the gradient in [W, b] of one example is
(softmax(z) - onehot(y)) outer [h, 1]; a soft label stands in place of the onehot. So a forward pass without a graph
gives every example's gradient exactly, and the gradient of a weighted batch is linear in the weights (paper 3.2;
DESIGN: no backward pass through the learner).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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


def mean_feature(gradient: Tensor, classes: int) -> Tensor:
    """Of the examples behind a head's gradient with bias, as that weighs them: [C*d + C] -> [d].

    The mean where all have the same residual, as those of one class nearly have in a young learner.

    >>> mean_feature(head_gradients(torch.tensor([[3.0, 5.0]]), torch.zeros(1, 2), torch.tensor([0]), True)[0], 2)
    tensor([3., 5.])
    """
    weight, bias = _apart(gradient, classes)
    return bias @ weight / bias.square().sum()


def centred(gradient: Tensor, classes: int, centre: Tensor) -> Tensor:
    """The weight's part of the gradient of a head whose features are taken relative to `centre` [d]:
    [C*d + C] -> [C*d].

    That of the bias, the residuals alone, is left out: it tells labels, not texts.
    """
    weight, bias = _apart(gradient, classes)
    return (weight - bias[:, None] * centre).flatten()


def _apart(gradient: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Of weight [C, d] and bias [C]."""
    weight, bias = gradient[:-classes], gradient[-classes:]
    return weight.view(classes, -1), bias


def weighted_gradient(losses: Tensor, weights: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Gradient of the weighted loss by autograd, itself differentiable in the weights: [n], [n] -> [P].

    The plain road: it keeps the learner's graph and differentiates twice. The closed form is tested against it.
    """
    pieces = torch.autograd.grad((weights * losses).sum(), parameters, create_graph=True)
    return torch.cat([piece.flatten() for piece in pieces])


def linear_in(weights: Tensor, image: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor]) -> Tensor:
    """A linear map of the weights whose derivative is had from its adjoint: [n] -> [P].

    The gradient of a weighted batch is one: its adjoint, the slope of every example's loss along a direction, costs one
    forward-mode pass, where autograd would keep the graph of the gradient and go back through it.

    >>> matrix = torch.tensor([[1.0, 2.0, 3.0]])
    >>> weights = torch.ones(3, requires_grad=True)
    >>> linear_in(weights, lambda w: matrix @ w, lambda direction: matrix.T @ direction).sum().backward()
    >>> weights.grad
    tensor([1., 2., 3.])
    """
    return _Linear.apply(weights, image, adjoint)  # type: ignore[return-value]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, image: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor]):
        ctx.adjoint = adjoint
        return image(weights.detach())

    @staticmethod
    def backward(ctx: Any, *directions: Tensor):
        return ctx.adjoint(directions[0]).to(directions[0]), None, None


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision is too coarse for a loss; double is left as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
