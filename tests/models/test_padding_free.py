"""A batch is read without its padding as with it: the same numbers and gradients, for every kind that can."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import SHAPES, TASK, rough, rows, tiny_model, tiny_tokenizer
from torch import Tensor
from transformers import ModernBertConfig, ModernBertModel, PreTrainedModel

from dilm.models.attending import plain_attention
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.models.encoder import FeatureEncoder
from dilm.models.layout import ALIKE, Layout
from dilm.models.padding_free import SPREAD, PaddingFree
from dilm.models.quick import quickened
from dilm.runtime.device import Place
from dilm.types import Example

ALONE = ("xlnet", "deberta-v2", "t5", "bart")
"""Kinds that tell their layers more of a batch than attention does, or have layers of two kinds."""
FREE = [kind for kind in SHAPES if kind not in ALONE]
VERY_UNLIKE = torch.tensor([12, 1, 4, 11, 2, 5, 12, 1])
MASKS = st.tuples(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.booleans()).map(
    lambda drawn: mask_of(torch.tensor(drawn[0]), left=drawn[1])
)


def mask_of(lengths: Tensor, left: bool = False) -> Tensor:
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    return mask.flip(1) if left else mask


def opened(kind: str) -> PreTrainedModel:
    return rough(quickened(tiny_model(kind, tiny_tokenizer(kind)))).double()


def said(model: PreTrainedModel, mask: Tensor, reading: PaddingFree | None = None) -> tuple[Tensor, list[Tensor]]:
    """Of the tokens that are none of padding, and the gradient of all weights in something made of it."""
    tokens = 7 + torch.arange(mask.numel()).view_as(mask) % 50
    model.zero_grad()
    with reading(mask) if reading else nullcontext():
        states = model(input_ids=tokens, attention_mask=mask)[0]
    real = states[mask.bool()]
    real.sin().sum().backward()
    return real.detach(), [weight.grad for weight in model.parameters() if weight.grad is not None]


def encoded(encoder: FeatureEncoder, texts: list[Example]) -> Tensor:
    return torch.from_numpy(encoder.encode(texts))


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@pytest.mark.parametrize("kind", FREE)
def test_tokens_and_gradients_are_those_of_a_padded_batch(kind: str, left: bool):
    model, mask = opened(kind), mask_of(VERY_UNLIKE, left)
    reading = PaddingFree(model)
    assert reading.spread == SPREAD
    (padded, slopes), (free, others) = said(model, mask), said(model, mask, reading)
    torch.testing.assert_close(free, padded, rtol=1e-9, atol=1e-9)
    assert len(slopes) == len(others) > 5
    for one, other in zip(slopes, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_a_window_of_attention_stays_where_it_is():
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    marks = dict.fromkeys(("pad_token_id", "cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id"), 0)
    model = ModernBertModel(ModernBertConfig(**shape, **marks, vocab_size=60, local_attention=4))
    model, mask = rough(quickened(model)).double(), mask_of(VERY_UNLIKE)
    torch.testing.assert_close(said(model, mask, PaddingFree(model))[0], said(model, mask)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ALONE)
def test_a_model_that_cannot_is_left_as_it_is(kind: str):
    model, mask = rough(quickened(tiny_model(kind, tiny_tokenizer(kind)))), mask_of(VERY_UNLIKE)
    reading = PaddingFree(model)
    assert reading.spread == 1
    with reading(mask):
        assert not any(part._forward_pre_hooks for part in model.modules())


def test_layers_see_no_padding_and_are_as_before_afterwards():
    model, mask, seen = opened("bert"), mask_of(VERY_UNLIKE), []
    reading = PaddingFree(model)
    model.encoder.layer[1].intermediate.register_forward_hook(lambda _, states, said: seen.append(states[0].shape))
    plain, _, after = (said(model, mask, way)[0] for way in (None, reading, None))
    assert torch.equal(after, plain)
    assert seen == [(8, 12, 16), (1, int(VERY_UNLIKE.sum()), 16), (8, 12, 16)]


def test_a_batch_without_padding_and_plain_attention_are_read_as_they_are():
    model, seen = opened("gpt2"), []
    reading = PaddingFree(model)
    model.h[0].register_forward_hook(lambda _, states, said: seen.append(states[0].shape[:2]))
    for mask in (torch.ones(3, 5, dtype=torch.long), mask_of(VERY_UNLIKE)):
        with plain_attention(model), reading(mask):
            assert reading.spread == 1
            model(input_ids=mask, attention_mask=mask)
    with reading(torch.ones(3, 5, dtype=torch.long)):
        model(input_ids=torch.ones(3, 5, dtype=torch.long))
    assert seen == [(3, 5), (8, 12), (3, 5)]


def test_a_failure_within_layers_leaves_no_trace():
    model, mask = opened("bert"), mask_of(VERY_UNLIKE)
    reading = PaddingFree(model)
    plain = said(model, mask)[0]
    with pytest.raises(IndexError), reading(mask):
        hook = model.encoder.layer[0].register_forward_hook(lambda *_: [][1])
        try:
            model(input_ids=mask, attention_mask=mask)
        finally:
            hook.remove()
    assert torch.equal(said(model, mask)[0], plain)


@given(MASKS)
def test_tokens_go_out_of_a_batch_and_back(mask: Tensor):
    layout, states = Layout(mask), torch.randn(*mask.shape, 3)
    flat = layout.flat(states)
    assert flat.shape == (1, int(mask.sum()), 3)
    assert torch.equal(layout.padded(flat), states * mask[..., None])
    assert torch.equal(layout.flat(states[:1]), layout.flat(states[:1].expand_as(states)))


@given(MASKS)
def test_groups_have_every_row_once_and_none_half_as_long_as_another(mask: Tensor):
    layout = Layout(mask)
    assert sorted(int(row) for group in layout.groups for row in group.rows) == list(range(len(mask)))
    flat = layout.flat(torch.arange(mask.numel()).view(*mask.shape, 1))[0]
    for group in layout.groups:
        lengths = mask[group.rows].sum(1)
        assert lengths.min() >= ALIKE * lengths.max() and group.width == lengths.max()
        own = torch.arange(mask.numel()).view_as(mask)[group.rows, group.first : group.first + group.width]
        real = mask[group.rows, group.first : group.first + group.width]
        assert torch.equal(group.apart(flat)[..., 0], own * real)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_who_learns_writes_and_encodes_reads_so(tiny_folder: Callable[[str], str], place: Place, kind: str):
    """In bfloat16 within a hundredth, in float32 to rounding, of what they say with padding."""
    for bf16, bound in ((False, 1e-4), (True, 2e-2)):
        here = replace(place, bf16=bf16)
        learner, encoder = Classifier.open(tiny_folder(kind), TASK, here), FeatureEncoder.open(tiny_folder(kind), here)
        generator = CausalGenerator.open(tiny_folder(kind), TASK, here)
        asked = (learner.loss, partial(encoded, encoder), generator.nll)
        reading = (learner.padding_free, encoder.padding_free, generator.reading.padding_free)
        generator.eval()
        for ask, free in zip(asked, reading, strict=True):
            found = ask(rows()).detach()
            assert free is not None and free.layers is not None
            free.layers = None
            torch.testing.assert_close(found, ask(rows()).detach(), rtol=bound, atol=bound)
