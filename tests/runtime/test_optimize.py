"""The schedule's shape, and an optimiser that a kill does not change."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dilm.runtime.optimize import AdamW, Schedule


@settings(max_examples=50, deadline=None)
@given(steps=st.integers(1, 300), warmup=st.floats(0, 1), lr=st.floats(1e-6, 1))
def test_the_rate_climbs_then_falls_and_stays_in_range(steps: int, warmup: float, lr: float):
    schedule = Schedule(steps, lr, warmup)
    rates = [schedule.rate(step) for step in range(steps)]
    ramp = math.ceil(warmup * steps)
    assert all(0 < rate <= lr * (1 + 1e-12) for rate in rates)
    assert rates[:ramp] == sorted(rates[:ramp])
    assert rates[ramp:] == sorted(rates[ramp:], reverse=True)
    assert max(rates) == pytest.approx(lr)


def test_the_ramp_is_straight_and_the_fall_half_a_cosine():
    schedule = Schedule(100, 2.0, warmup=0.2)
    assert [schedule.rate(step) for step in (0, 4, 19, 20)] == pytest.approx([0.1, 0.5, 2.0, 2.0])
    assert schedule.rate(60) == pytest.approx(1.0)
    assert schedule.rate(100) == pytest.approx(0, abs=1e-12)


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def loss_of(model: nn.Module, step: int, rows: slice = slice(None)) -> Tensor:
    batch = torch.randn(6, 4, generator=torch.Generator().manual_seed(step))
    return model(batch[rows]).square().mean()


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_a_resumed_optimiser_continues_bit_for_bit():
    schedule = Schedule(10, 1e-2, warmup=0.3)
    whole, model = net(), net()
    update = AdamW(whole.parameters(), schedule)
    for step in range(10):
        update([loss_of(whole, step)], 1)
    first = AdamW(model.parameters(), schedule)
    for step in range(4):
        first([loss_of(model, step)], 1)
    saved = io.BytesIO()
    torch.save(first.state(), saved)
    saved.seek(0)
    reborn = net(seed=9)
    reborn.load_state_dict(copy.deepcopy(model.state_dict()))
    second = AdamW(reborn.parameters(), schedule)
    second.restore(torch.load(saved, weights_only=True))
    for step in range(second.step, 10):
        second([loss_of(reborn, step)], 1)
    assert all(torch.equal(one, other) for one, other in zip(weights(whole), weights(reborn), strict=True))
    assert second.step == 10


def test_losses_one_graph_at_a_time_are_their_mean():
    parts = [slice(0, 2), slice(2, 4), slice(4, 6)]
    split, joint = net(), net()
    schedule = Schedule(1, 1e-2, clip=1e9)
    told = AdamW(split.parameters(), schedule)((loss_of(split, 0, part) for part in parts), 3)
    wanted = torch.stack([loss_of(joint, 0, part) for part in parts]).mean()
    AdamW(joint.parameters(), schedule)([wanted], 1)
    assert told == pytest.approx(wanted.item(), rel=1e-6)
    for one, other in zip(split.parameters(), joint.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-7)  # AdamW alone would hide their scale
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_gradients_do_not_leak_from_step_to_step():
    model = net()
    update = AdamW(model.parameters(), Schedule(5, 1e-2, clip=1e9))
    update([loss_of(model, 0)], 1)
    wanted = torch.autograd.grad(loss_of(model, 1), list(model.parameters()))
    update([loss_of(model, 1)], 1)
    for parameter, gradient in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_the_gradient_is_clipped_as_one_vector():
    model = net()
    AdamW(model.parameters(), Schedule(1, 1e-2, clip=0.5))([1000 * loss_of(model, 0)], 1)
    norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm()
    assert float(norm) == pytest.approx(0.5, rel=1e-4)


def test_matrices_decay_biases_do_not():
    model = net()
    before = weights(model)
    update = AdamW(model.parameters(), Schedule(1, 0.1, warmup=0.0, weight_decay=0.5))
    update([0 * loss_of(model, 0)], 1)
    for old, new in zip(before, weights(model), strict=True):
        torch.testing.assert_close(new, old * (0.95 if old.ndim == 2 else 1.0))


def test_frozen_parameters_stay():
    model = net()
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    AdamW(model.parameters(), Schedule(1, 0.1))([loss_of(model, 0)], 1)
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_micro_batches_step_as_one_batch_does(limit: int):
    rows = list(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    tight, roomy = net(), net()

    def losses(model: nn.Module, most: int):
        def of(part: list[Tensor]) -> Tensor:
            if len(part) > most:
                raise RuntimeError("CUDA out of memory.")
            return model(torch.stack(part)).square().squeeze(1)

        return of

    first, second = (AdamW(model.parameters(), Schedule(3, 1e-2)) for model in (tight, roomy))
    for _ in range(3):
        assert first.on(losses(tight, limit), rows) == pytest.approx(second.on(losses(roomy, 6), rows), abs=1e-6)
    for one, other in zip(weights(tight), weights(roomy), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert first.step == second.step == 3 and first.appetite.amount == {1: 1, 2: 1, 5: 3, 6: 64}[limit]


def test_a_loss_that_depends_on_more_teaches_only_what_is_trained():
    model, other = net(), nn.Parameter(torch.ones(1))
    AdamW(model.parameters(), Schedule(1, 1e-2))([loss_of(model, 0) * other.squeeze()], 1)
    assert other.grad is None and all(parameter.grad is not None for parameter in model.parameters())


def test_moments_for_which_memory_ran_out_are_made_at_the_next_attempt(monkeypatch: pytest.MonkeyPatch):
    """Nothing is half done: the step that is begun anew is that of a machine with enough."""
    found = []
    for fails_at in (0, 1, 2, 6):
        model, made, inputs = net(), [], torch.ones(3, 4)
        update = AdamW(model.parameters(), Schedule(2, 1e-2))

        def zeros_like(tensor: Tensor, made=made, fails_at=fails_at, true=torch.zeros_like) -> Tensor:
            made.append(tensor)
            if len(made) == fails_at:
                raise RuntimeError("CUDA out of memory.")
            return true(tensor)

        with monkeypatch.context() as patch:
            patch.setattr(torch, "zeros_like", zeros_like)
            losses = [update.on(lambda rows, model=model: model(torch.stack(rows)).squeeze(1), list(inputs))]
        losses += [update.on(lambda rows, model=model: model(torch.stack(rows)).squeeze(1), list(inputs))]
        assert len(made) > 8 if fails_at else len(made) == 8
        found.append([*losses, *nn.utils.parameters_to_vector(model.parameters()).tolist()])
    assert all(each == pytest.approx(found[0], abs=1e-6) for each in found)
