"""Where a transformer looks: attention computed the plain way, and which position its head reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from dilm.errors import ModelError


@contextmanager
def plain_attention(model: PreTrainedModel) -> Iterator[None]:
    """Within, attention is computed the plain way: fast kernels do not tell it, nor its second derivatives."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)  # type: ignore[arg-type]


def told_attention(told: Any, name: str) -> Tensor:
    """Of every layer, from a model's answer: [n, layers, heads, T, T]. Raises ModelError where one does not tell."""
    layers = told.get("attentions") or ()
    if not layers or any(layer is None or layer.shape != layers[0].shape for layer in layers):
        raise ModelError(
            f"{name} does not tell where each of its layers looks.",
            "Use a transformer as learner, or learn embeddings without attention labels.",
        )
    return torch.stack(list(layers), dim=1)


def read_position(told: Any, name: str) -> int:
    """0 or -1: the only position of the last layer that has a say in the logits of the one row that was asked about."""
    last = told.hidden_states[-1]
    (say,) = torch.autograd.grad(told.logits[:, 0].sum(), last, allow_unused=True)
    read = [] if say is None else say[0].abs().sum(-1).nonzero().flatten().tolist()
    if read not in ([0], [last.shape[1] - 1]):
        raise ModelError(
            f"The head of {name} is not seen to read the first or the last position alone.",
            "Use `embed.attention=all`, or another model as learner.",
        )
    return 0 if read == [0] else -1
