"""Parts of transformers' models that take less time made otherwise: the same function, the same parameters.

On a processor dropout is costly to draw, GPT-2's activation is spelt out by transformers as eight operations, and
torch's attention has no quick way to a gradient, neither under dropout nor in bfloat16. `benchmarks/parts.py` measures
what a training step gains by all three.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from dilm.models.layout import by_rows
from dilm.numerics.gradients import at_least_float32

Model = TypeVar("Model", bound=PreTrainedModel)

QUICK = "dilm_quick"
"""The name of `attention` among transformers' implementations."""
STEPS = 2**16
"""A share to drop is rounded to one of so many, and what is kept is scaled by what that is."""
SHORT = 256
"""Tokens up to which torch's own attention is slower where a gradient is wanted; under dropout it always is."""


class Dropout(nn.Dropout):
    """torch's, drawn on a processor with 16 random bits for a number."""

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Dropout`: any shape -> the same. From torch's global generator, but not the numbers that it draws."""
        return dropped(input, self.p) if self.training else input


def dropped(numbers: Tensor, share: float) -> Tensor:
    """Each number 0 with this chance, and scaled so that means stay: any shape -> the same."""
    steps = round(share * STEPS)
    if numbers.device.type != "cpu" or steps in (0, STEPS):
        return nn.functional.dropout(numbers, share)
    words = torch.empty(-(-numbers.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.int16)[: numbers.numel()].view(numbers.shape) >= steps - STEPS // 2
    return numbers * kept.to(numbers.dtype).mul_(STEPS / (STEPS - steps))


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **asked: Any
) -> tuple[Tensor, None]:
    """As transformers' `sdpa`, to which it leaves what that does quicker: [n, heads, T, d] -> [n, T, heads, d]."""
    dropout, scaling, causal = (asked.get(name) for name in ("dropout", "scaling", "is_causal"))
    beside = any(asked.get(name) is not None for name in ("position_bias", "cache", "softcap"))
    if beside or not _slow(query, key, dropout or 0.0):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **asked)
    groups: int = getattr(module, "num_key_value_groups", 1)
    scaled = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    ordered: bool = getattr(module, "is_causal", True) if causal is None else causal
    scores = _masked(scaled @ repeat_kv(key, groups).transpose(2, 3), attention_mask, ordered)
    looks = dropped(at_least_float32(scores).softmax(-1).to(value.dtype), dropout or 0.0)
    return (looks @ repeat_kv(value, groups)).transpose(1, 2).contiguous(), None


def _slow(query: Tensor, key: Tensor, dropout: float) -> bool:
    """Whether torch's own attention would be slow: with a gradient, on a processor, and dropout or a short text."""
    learns = torch.is_grad_enabled() and query.requires_grad and query.device.type == "cpu"
    return learns and query.shape[2] == key.shape[2] and (dropout > 0 or key.shape[2] <= SHORT)


def _masked(scores: Tensor, mask: Tensor | None, ordered: bool) -> Tensor:
    """The lowest number where a token must not look; without a mask that may be what comes after it."""
    if mask is None:
        if not ordered:
            return scores
        mask = torch.ones(scores.shape[2:], dtype=torch.bool).tril()
    if mask.dtype != torch.bool:
        return scores + mask
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)


AttentionInterface.register(QUICK, by_rows(attention))
AttentionMaskInterface.register(QUICK, sdpa_mask)


def quickened(model: Model) -> Model:
    """The model, with these parts in the place of those that it was made with."""
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if type(part) is nn.Dropout:
                setattr(module, name, Dropout(part.p).train(part.training))
            elif isinstance(part, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))
    if model.config._attn_implementation == "sdpa" and not _asks_for_the_name(model):
        model.set_attn_implementation(QUICK)
    return model


def _asks_for_the_name(model: PreTrainedModel) -> bool:
    """Whether its code does otherwise under `sdpa` (Gemma 4, Falcon, ...), or may: it cannot be read."""
    written = {type(part).__module__ for part in model.modules() if isinstance(part, PreTrainedModel)}
    try:
        return any('"sdpa"' in inspect.getsource(sys.modules[module]) for module in written)
    except (OSError, TypeError):
        return True
