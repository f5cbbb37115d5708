"""The closed form and autograd are one gradient, example by example and batch by batch."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dilm.numerics.gradients import centred, head_gradients, mean_feature, weighted_gradient

SHAPES = {"n": st.integers(1, 6), "d": st.integers(1, 5), "classes": st.integers(2, 5), "seed": st.integers(0, 2**20)}
LAWS = settings(max_examples=25, deadline=None)
EXACT = {"rtol": 0.0, "atol": 1e-10}


def problem(n: int, d: int, classes: int, bias: bool, seed: int) -> tuple[nn.Linear, Tensor, Tensor]:
    """A head in float64 with rows that it is sure and unsure of, and their labels."""
    rng = torch.Generator().manual_seed(seed)
    head = nn.Linear(d, classes, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(3 * torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
    features = torch.randn(n, d, generator=rng, dtype=torch.float64)
    return head, features, torch.randint(classes, (n,), generator=rng)


def losses(head: nn.Linear, features: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(head(features), labels, reduction="none")


def by_autograd(head: nn.Linear, features: Tensor, labels: Tensor) -> Tensor:
    """One backward pass for each example: [n, P]."""
    rows = []
    for loss in losses(head, features, labels):
        pieces = torch.autograd.grad(loss, list(head.parameters()), retain_graph=True)
        rows.append(torch.cat([piece.flatten() for piece in pieces]))
    return torch.stack(rows)


@LAWS
@given(**SHAPES, bias=st.booleans())
def test_closed_form_equals_autograd_for_each_example(n, d, classes, seed, bias):
    head, features, labels = problem(n, d, classes, bias, seed)
    closed = head_gradients(features, head(features), labels, bias)
    assert closed.shape == (n, classes * d + classes * bias)
    torch.testing.assert_close(closed, by_autograd(head, features, labels), **EXACT)


@LAWS
@given(**SHAPES, bias=st.booleans())
def test_a_weighted_batch_is_linear_in_its_weights(n, d, classes, seed, bias):
    head, features, labels = problem(n, d, classes, bias, seed)
    weights = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    plain = weighted_gradient(losses(head, features, labels), weights, list(head.parameters()))
    gradients = head_gradients(features, head(features), labels, bias).detach()
    torch.testing.assert_close(plain, weights @ gradients, **EXACT)


@LAWS
@given(**SHAPES, bias=st.booleans())
def test_the_plain_road_is_differentiable_in_the_weights(n, d, classes, seed, bias):
    """The derivative of <v, g(w)> in w_i is <v, g_i>: all that the generator is taught by."""
    head, features, labels = problem(n, d, classes, bias, seed)
    weights = torch.full((n,), 1 / n, dtype=torch.float64, requires_grad=True)
    plain = weighted_gradient(losses(head, features, labels), weights, list(head.parameters()))
    direction = torch.randn(plain.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    (felt,) = torch.autograd.grad(direction @ plain, weights)
    torch.testing.assert_close(felt, by_autograd(head, features, labels) @ direction, **EXACT)


def test_a_certain_and_right_head_has_no_gradient_left():
    logits = torch.tensor([[1000.0, 0.0]])
    gradients = head_gradients(torch.ones(1, 3), logits, torch.tensor([0]), bias=True)
    assert torch.equal(gradients, torch.zeros(1, 8))


def test_residuals_of_an_example_sum_to_zero_over_classes():
    head, features, labels = problem(4, 3, 5, True, 0)
    gradients = head_gradients(features, head(features), labels, bias=True)
    weight, bias = gradients[:, :15].reshape(4, 5, 3), gradients[:, 15:]
    torch.testing.assert_close(weight.sum(1), torch.zeros(4, 3, dtype=torch.float64), **EXACT)
    torch.testing.assert_close(bias.sum(1), torch.zeros(4, dtype=torch.float64), **EXACT)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 6), d=st.integers(1, 5), classes=st.integers(2, 4), seed=st.integers(0, 1000))
def test_a_centred_gradient_is_that_of_centred_features(n: int, d: int, classes: int, seed: int):
    rng = torch.Generator().manual_seed(seed)
    features, logits = torch.randn(n, d, generator=rng), torch.randn(n, classes, generator=rng)
    labels, centre = torch.randint(classes, (n,), generator=rng), torch.randn(d, generator=rng)
    mean = head_gradients(features, logits, labels, bias=True).mean(0)
    moved = head_gradients(features - centre, logits, labels, bias=False).mean(0)
    torch.testing.assert_close(centred(mean, classes, centre), moved, atol=1e-5, rtol=1e-4)


def test_the_mean_feature_is_seen_in_the_gradient_of_a_young_head():
    """Where every class is as likely, all texts of a class are in error alike."""
    features, logits, labels = torch.tensor([[1.0, 9.0], [3.0, 5.0]]), torch.zeros(2, 3), torch.tensor([1, 1])
    mean = head_gradients(features, logits, labels, bias=True).mean(0)
    torch.testing.assert_close(mean_feature(mean, 3), torch.tensor([2.0, 7.0]))
    assert centred(mean, 3, torch.tensor([2.0, 7.0])).abs().max() < 1e-6
