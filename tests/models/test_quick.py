"""Quicker parts are the same function: dropout in distribution, GPT-2's activation to rounding, and in their places."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import SHAPES, rough, tiny_model, tiny_tokenizer
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    FalconConfig,
    FalconForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
)
from transformers.activations import NewGELUActivation
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from dilm.models import quick
from dilm.models.dropout import set_dropout
from dilm.models.hub import open_model
from dilm.models.quick import QUICK, Dropout, attention, quickened
from dilm.runtime.seeding import seed_torch

SHAPE = {"vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}


def gpt2() -> GPT2LMHeadModel:
    seed_torch(3, "weights")
    return GPT2LMHeadModel(GPT2Config(**SHAPE))


def grouped(groups: int) -> nn.Module:
    module = nn.Module()
    module.num_key_value_groups = groups  # type: ignore[assignment]
    return module


def heads(number: int) -> torch.Tensor:
    return torch.randn(2, number, 5, 6, dtype=torch.float64, requires_grad=True)


def drawn(layer: nn.Module, numbers: torch.Tensor, seed: int = 0) -> torch.Tensor:
    seed_torch(seed, "dropout")
    return layer(numbers)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_as_many_numbers_are_dropped_as_are_wanted_each_for_itself(share: float):
    numbers = torch.ones(500, 401)
    dropped = (drawn(Dropout(share), numbers) == 0).double()
    for about, count in ((dropped, numbers.numel()), (dropped[:, 1:] * dropped[:, :-1], dropped[:, 1:].numel())):
        wanted = share if about is dropped else share**2
        spread = 5 * (wanted / count) ** 0.5
        assert about.mean().item() == pytest.approx(wanted, abs=spread + 1 / 2**16)
    assert dropped.mean(0).std() < 5 * (share * (1 - share) / 500) ** 0.5, "no column is favoured"


@given(share=st.floats(0.001, 0.999), shape=st.lists(st.integers(1, 7), min_size=1, max_size=3))
def test_what_is_kept_is_scaled_so_that_the_mean_stays_and_so_is_its_gradient(share: float, shape: list[int]):
    numbers = torch.full(shape, 3.0, dtype=torch.float64, requires_grad=True)
    answer = drawn(Dropout(share), numbers)
    assert answer.shape == numbers.shape and answer.dtype == numbers.dtype
    kept = answer.detach() != 0
    exact = round(share * 2**16) / 2**16
    assert torch.allclose(answer[kept], torch.tensor(3.0 / (1 - exact), dtype=torch.float64))
    (slope,) = torch.autograd.grad(answer.sum(), numbers)
    assert torch.allclose(slope, kept.double() / (1 - exact))


def test_the_seed_decides_what_is_dropped():
    numbers = torch.ones(40, 7)
    assert torch.equal(drawn(Dropout(0.3), numbers), drawn(Dropout(0.3), numbers))
    assert not torch.equal(drawn(Dropout(0.3), numbers), drawn(Dropout(0.3), numbers, seed=1))


@pytest.mark.parametrize("share", [0.0, 1e-9, 1.0])
def test_nothing_and_everything_are_dropped_as_torch_does(share: float):
    numbers = torch.ones(9)
    assert torch.equal(drawn(Dropout(share), numbers), drawn(nn.Dropout(share), numbers))


def test_in_eval_mode_nothing_is_dropped():
    assert torch.equal(Dropout(0.5).eval()(torch.ones(9)), torch.ones(9))


def test_a_model_says_what_it_said_before():
    plain, tokens = gpt2().eval(), torch.arange(12).view(2, 6)
    before = plain(input_ids=tokens).logits
    quick = quickened(plain)
    assert torch.allclose(quick(input_ids=tokens).logits, before, atol=1e-6)
    kinds = {type(module) for module in quick.modules()}
    assert NewGELUActivation not in kinds and nn.Dropout not in kinds and Dropout in kinds


def test_gradients_are_those_of_before():
    slopes = []
    for model in (gpt2(), quickened(gpt2())):
        set_dropout(model, 0.0)
        model.train()(input_ids=(tokens := torch.arange(12).view(2, 6)), labels=tokens).loss.backward()
        slopes.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*slopes, strict=True))


@pytest.mark.parametrize("kind", ["padded", "causal", "added", "open"])
@pytest.mark.parametrize("groups", [1, 2])
def test_attention_and_its_gradients_are_those_of_transformers(kind: str, groups: int):
    module, asked = grouped(groups), {"is_causal": kind == "causal", "scaling": 0.3}
    query, key, value = heads(4), heads(4 // groups), heads(4 // groups)
    mask = {"padded": torch.rand(2, 1, 5, 5) < 0.7, "added": torch.randn(2, 1, 5, 5, dtype=torch.float64)}.get(kind)
    if kind == "padded":
        mask |= torch.eye(5, dtype=torch.bool)  # type: ignore[operator]
    told = []
    for way in (attention, sdpa_attention_forward):
        answer, _ = way(module, query, key, value, mask, **asked)  # type: ignore[operator]
        told.append([answer, *torch.autograd.grad(answer.square().sum(), (query, key, value))])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*told, strict=True))


def test_a_token_that_may_look_nowhere_harms_no_other():
    query, key, value = heads(2), heads(2), heads(2)
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool).tril()
    mask[:, :, 0] = False  # as before the first token of a text that is padded on its left
    ours, theirs = (way(grouped(1), query, key, value, mask)[0] for way in (attention, sdpa_attention_forward))
    assert torch.allclose(ours[:, 1:], theirs[:, 1:], atol=1e-6) and ours.isfinite().all()


def test_a_model_that_asks_for_the_name_of_its_attention_keeps_it():
    """Falcon's code reads `"sdpa"`; so does Gemma 4's, which then treats a short tail of the logits otherwise."""
    model = FalconForCausalLM(FalconConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2))
    assert quickened(model).config._attn_implementation == "sdpa"


def test_attention_drops_as_many_looks_as_are_wanted():
    query, key = (torch.randn(8, 4, 30, 6, requires_grad=True) for _ in range(2))
    everything = torch.eye(30).expand(8, 4, 30, 30)
    seed_torch(0, "dropout")
    looks, _ = attention(grouped(1), query, key, everything, None, dropout=0.3, is_causal=False)
    assert (looks == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert looks.sum(-1).mean().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("kind", SHAPES)
def test_models_of_all_kinds_learn_as_before(kind: str, monkeypatch: pytest.MonkeyPatch):
    """Padded rows, no dropout: what is said of real tokens, and every gradient."""
    told, asked = [], Mock(wraps=quick._masked)
    monkeypatch.setattr(quick, "_masked", asked)
    for quicken in (lambda model: model, quickened):
        model = quicken(rough(tiny_model(kind, tiny_tokenizer(kind)))).double()
        tokens = torch.arange(30, 42).view(2, 6)
        mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
        beside = {"decoder_input_ids": tokens, "decoder_attention_mask": mask} if kind in ("t5", "bart") else {}
        states = model(input_ids=tokens, attention_mask=mask, **beside).last_hidden_state[mask.bool()]
        states.sin().sum().backward()
        told.append([states.detach(), *(each.grad for each in model.parameters() if each.grad is not None)])
    assert asked.called == (kind not in ("xlnet", "deberta-v2", "t5")), "these have attention of their own kind"
    assert len(told[0]) == len(told[1])
    assert all(torch.allclose(one, other, rtol=1e-5, atol=1e-6) for one, other in zip(*told, strict=True))


def test_an_opened_model_is_quick_and_saved_as_it_came(tmp_path):
    gpt2().save_pretrained(tmp_path / "first")
    opened = open_model(AutoModelForCausalLM, str(tmp_path / "first"))
    assert opened.config._attn_implementation == QUICK
    assert any(isinstance(module, Dropout) for module in opened.modules())
    opened.save_pretrained(tmp_path / "second")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_its_dropout_can_be_set():
    model = quickened(BertModel(BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)))
    set_dropout(model, 0.25)
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.25}
