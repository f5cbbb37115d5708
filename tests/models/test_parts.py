"""Laws of matched parts: one gradient by two roads, in every architecture; adapters are those of LoRA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import KINDS, OTHERS, TASK, rows

from dilm.errors import ModelError
from dilm.models.classifier import Classifier
from dilm.models.parts import find_part

PARTS = ("head", "last:0", "last:1", "all", "lora:3")
Opened = Callable[[str], Classifier]


@pytest.fixture(scope="module")
def learner(tiny_folder, place) -> Opened:
    """A classifier of any architecture in double precision, opened once."""
    opened: dict[str, Classifier] = {}

    def of(kind: str) -> Classifier:
        if kind not in opened:
            opened[kind] = Classifier.open(tiny_folder(kind), TASK, place)
            opened[kind].reset(0)
            opened[kind].model.double()
        return opened[kind]

    return of


def felt(gradient: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """How a mismatch of that gradient would move the weights."""
    direction = torch.linspace(-1, 1, len(gradient), dtype=gradient.dtype)
    return torch.autograd.grad(torch.cosine_similarity(gradient, direction, dim=0), weights)[0]


@pytest.mark.parametrize("wanted", PARTS)
@pytest.mark.parametrize("kind", (*KINDS, *OTHERS))
def test_forward_mode_is_autograd(learner: Opened, kind: str, wanted: str):
    one = learner(kind)
    part = find_part(one, wanted)
    weights = torch.linspace(0.05, 0.3, len(rows()), dtype=torch.float64, requires_grad=True)
    fast, plain = part.gradient(one, rows(), weights), part.plainly(one, rows(), weights)
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-8)
    torch.testing.assert_close(felt(fast, weights), felt(plain, weights), rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", (*KINDS, *OTHERS))
def test_in_double_precision_the_closed_form_is_autograd_example_by_example(learner: Opened, kind: str):
    one = learner(kind)
    found, losses = one.gradients(rows()), one.loss(rows())
    assert found.dtype == torch.float64
    for gradient, loss in zip(found, losses, strict=True):
        pieces = torch.autograd.grad(loss, one.head_parameters(), retain_graph=True)
        torch.testing.assert_close(gradient, torch.cat([piece.flatten() for piece in pieces]), rtol=0, atol=1e-8)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shares=st.lists(st.floats(-2, 2), min_size=6, max_size=6), wanted=st.sampled_from(PARTS))
def test_the_gradient_is_linear_in_the_weights_and_its_slopes_are_its_transpose(learner: Opened, shares, wanted):
    one = learner("bert")
    part = find_part(one, wanted)
    weights = torch.tensor(shares, dtype=torch.float64, requires_grad=True)
    each = torch.stack([part.gradient(one, [row], torch.ones(1, dtype=torch.float64)) for row in rows()])
    found = part.gradient(one, rows(), weights)
    torch.testing.assert_close(found, weights @ each, rtol=0, atol=1e-10)
    direction = torch.linspace(-1, 1, len(found), dtype=torch.float64)
    torch.testing.assert_close(torch.autograd.grad(found @ direction, weights)[0], each @ direction, rtol=0, atol=1e-10)


def test_micro_batches_sum_exactly(learner: Opened):
    one, many = learner("bert"), rows() * 7  # more than run together
    part, weights = find_part(one, "last:1"), torch.full((42,), 1 / 42, dtype=torch.float64)
    whole = part.gradient(one, rows(), torch.full((6,), 1 / 6, dtype=torch.float64))
    torch.testing.assert_close(part.gradient(one, many, weights), whole, rtol=0, atol=1e-10)


def test_a_mean_gradient_is_the_closed_forms(learner: Opened):
    one = learner("roberta")
    mean = find_part(one, "head").mean(one, rows())
    torch.testing.assert_close(mean, one.gradients(rows()).mean(0), rtol=0, atol=1e-7)  # 1/6 in float32


@pytest.mark.parametrize("wanted", ["last:0", "last:1", "all"])
def test_bfloat16_stays_within_three_percent(tiny_folder, place, wanted: str):
    """The gradient, and the slopes along it, of their lengths: matching runs so where hardware multiplies it."""
    found = []
    for precision in (place, replace(place, bf16=True)):
        one = Classifier.open(tiny_folder("bert"), TASK, precision)
        one.reset(0)
        weights = torch.linspace(0.05, 0.3, len(rows()), requires_grad=True)
        gradient = find_part(one, wanted).gradient(one, rows(), weights)
        slopes = torch.autograd.grad(gradient @ torch.nn.functional.normalize(gradient.detach(), dim=0), weights)[0]
        found.append((gradient.detach(), slopes))
    (sure, sure_slopes), (rough, rough_slopes) = found
    assert 0 < (sure - rough).norm() < 0.03 * sure.norm()
    assert 0 < (sure_slopes - rough_slopes).abs().max() < 0.03 * sure_slopes.abs().max()


def test_a_part_holds_what_its_name_says(learner: Opened):
    one = learner("roberta")
    assert find_part(one, "head").names == ("classifier.out_proj.weight", "classifier.out_proj.bias")
    assert {name.rpartition(".")[0] for name in find_part(one, "last:0").names} == {
        "classifier.dense",
        "classifier.out_proj",
    }
    last = find_part(one, "last:1").names
    assert all(".layer.1." in name or name.startswith("classifier") for name in last)
    assert sum(".layer.1." in name for name in last) == 16
    assert not any("embeddings" in name for name in find_part(one, "last:2").names)
    assert set(find_part(one, "all").names) == {name for name, _ in one.model.named_parameters()}


def test_weights_for_other_tasks_are_left_out(learner: Opened):
    one = learner("xlnet")
    unused = {name for name, _ in one.model.named_parameters()} - set(find_part(one, "all").names)
    assert "transformer.mask_emb" in unused


def test_adapters_have_the_gradient_of_lora(learner: Opened):
    """W + B A with B at zero, by autograd in B."""
    one = learner("bert")
    part = find_part(one, "lora:3")
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    weight = dict(one.model.named_parameters())[name].detach()
    down = part.down[name].double()
    up = torch.zeros(len(weight), 3, dtype=torch.float64, requires_grad=True)
    inputs = one.inputs(rows())
    labels = torch.tensor([row.label for row in rows()])
    loss = torch.nn.functional.cross_entropy(one.logits(inputs, {name: weight + up @ down}), labels)
    first = sum(one.model.get_parameter(other).shape[0] * 3 for other in part.names[: part.names.index(name)])
    found = part.mean(one, rows())[first : first + up.numel()]
    torch.testing.assert_close(found.view_as(up), torch.autograd.grad(loss, up)[0], rtol=0, atol=1e-8)


def test_the_projections_are_the_same_every_time(learner: Opened):
    one, other = (find_part(learner("bert"), "lora").down for _ in range(2))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert {len(down) for down in one.values()} == {8}


def test_the_learner_is_left_as_it_was(learner: Opened):
    one = learner("bert")
    before, mode = one.snapshot(), one.model.config._attn_implementation
    part, weights = find_part(one, "all"), torch.ones(6, dtype=torch.float64, requires_grad=True)
    part.gradient(one, rows(), weights).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in one.snapshot().items())
    assert all(parameter.grad is None for parameter in one.parameters())
    assert one.model.config._attn_implementation == mode


def test_more_layers_than_there_are_is_an_error(learner: Opened):
    with pytest.raises(ModelError, match="has 2 layers, fewer than the 3"):
        find_part(learner("bert"), "last:3")
