"""Parts of transformers' models that take less time made otherwise: the same function, the same parameters.

In a training step of a small model on a processor, drawing dropout took a fifth of the time, GPT-2's activation, which
transformers spells out as eight operations, a fifth more, and torch's attention has no quick way to a gradient there
under dropout or in bfloat16 (`benchmarks/parts.py`).
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.activations import NewGELUActivation
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from dilm.numerics.gradients import at_least_float32

Model = TypeVar("Model", bound=PreTrainedModel)

QUICK = "dilm_quick"
"""The name of `attention` among transformers' implementations."""
STEPS = 2**16
"""A share to drop is rounded to one of so many, and what is kept is scaled by what that is: means stay exact."""
SHORT = 256
"""Tokens up to which torch's own attention is slower where a gradient is wanted; under dropout it always is."""


class Dropout(nn.Dropout):
    """torch's, with 16 random bits for a number where the processor's own kernel draws a float64 for each."""

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
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """As transformers' `sdpa`, which it leaves to it where that is quicker: [n, heads, T, d] -> [n, T, heads, d]."""
    asked = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal}
    beside = others.get("position_bias") is not None or others.get("cache") is not None
    learns = torch.is_grad_enabled() and query.requires_grad
    quicker = query.device.type == "cpu" and learns and (dropout or key.shape[2] <= SHORT)
    if beside or not quicker or query.shape[2] != key.shape[2]:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **asked, **others)
    groups: int = getattr(module, "num_key_value_groups", 1)
    scores = query * (query.shape[-1] ** -0.5 if scaling is None else scaling) @ repeat_kv(key, groups).transpose(2, 3)
    if attention_mask is None and (getattr(module, "is_causal", True) if is_causal is None else is_causal):
        attention_mask = torch.ones(scores.shape[2:], dtype=torch.bool).tril()
    if attention_mask is not None:
        seen = attention_mask.dtype == torch.bool
        lowest = torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~attention_mask, lowest) if seen else scores + attention_mask
    weights = dropped(at_least_float32(scores).softmax(-1).to(value.dtype), dropout)
    return (weights @ repeat_kv(value, groups)).transpose(1, 2).contiguous(), None


AttentionInterface.register(QUICK, attention)
AttentionMaskInterface.register(QUICK, sdpa_mask)


def quickened(model: Model) -> Model:
    """The model, with these parts in the place of those that it was made with."""
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if type(part) is nn.Dropout:
                setattr(module, name, Dropout(part.p).train(part.training))
            elif isinstance(part, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(QUICK)
    return model
