"""One minus cosine: what it ignores, and where it is smallest and largest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.numerics.mismatch import cosine_mismatch

VECTORS = st.lists(st.floats(-10, 10), min_size=2, max_size=8).filter(lambda values: np.linalg.norm(values) > 0.1)


@settings(max_examples=25, deadline=None)
@given(values=VECTORS, scale=st.floats(0.01, 100))
def test_only_the_direction_counts(values: list[float], scale: float):
    vector = torch.tensor(values)
    assert float(cosine_mismatch(vector, scale * vector)) == pytest.approx(0, abs=1e-5)
    assert float(cosine_mismatch(vector, -scale * vector)) == pytest.approx(2, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(values=VECTORS, seed=st.integers(0, 1000))
def test_it_is_numpys_one_minus_cosine(values: list[float], seed: int):
    other = np.random.default_rng(seed).normal(size=len(values))
    naive = 1 - np.dot(values, other) / np.linalg.norm(values) / np.linalg.norm(other)
    assert float(cosine_mismatch(torch.tensor(values), torch.tensor(other))) == pytest.approx(naive, abs=1e-5)


def test_orthogonal_gradients_are_one_apart():
    assert float(cosine_mismatch(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 5.0]))) == 1.0


def test_half_precision_is_compared_in_float32():
    rng = torch.Generator().manual_seed(0)
    target, synthetic = torch.randn(2, 10_000, generator=rng)
    exact = cosine_mismatch(target.bfloat16().float(), synthetic.bfloat16().float())
    assert float(cosine_mismatch(target.bfloat16(), synthetic.bfloat16())) == float(exact)


def test_descent_turns_the_synthetic_gradient_to_the_target():
    target, synthetic = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0], requires_grad=True)
    (slope,) = torch.autograd.grad(cosine_mismatch(target, synthetic), synthetic)
    assert cosine_mismatch(target, synthetic - 0.1 * slope) < cosine_mismatch(target, synthetic)
    assert (slope @ synthetic).item() == pytest.approx(0, abs=1e-6)  # length does not matter


def test_the_target_comes_to_where_the_synthetic_gradient_is():
    """From the processor, where a remembered target is read, to a GPU, for which a device without numbers stands."""
    assert cosine_mismatch(torch.ones(3), torch.ones(3, device="meta")).device.type == "meta"
