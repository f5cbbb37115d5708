"""The tables of a vocabulary: what a model reads of each token, and says of it, often the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.runtime.summed import looked_up, product


@contextmanager
def summing_in_place(model: PreTrainedModel) -> Iterator[None]:
    """Within, plain tables that learn are read so that their gradients take no memory beside their sum."""
    parts = plain_tables(model) if torch.is_grad_enabled() else []
    for part in parts:
        part.forward = _read(part)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for part in parts:
            del part.forward


def plain_tables(model: PreTrainedModel) -> list[nn.Linear | nn.Embedding]:
    """The modules that read or say tokens, those among them whose weights learn and that do nothing else."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    weights = {id(weight) for end in ends if isinstance(weight := getattr(end, "weight", None), nn.Parameter)}
    return [
        module
        for module in model.modules()
        if (type(module) is nn.Linear or _is_plain(module))
        and id(module.weight) in weights
        and module.weight.requires_grad  # type: ignore[union-attr]
    ]  # type: ignore[return-value]


def _is_plain(module: nn.Module) -> bool:
    if type(module) is not nn.Embedding:
        return False
    return module.max_norm is None and not module.scale_grad_by_freq and not module.sparse


def _read(part: nn.Linear | nn.Embedding) -> partial[Tensor]:
    if isinstance(part, nn.Linear):
        return partial(product, table=part.weight, bias=part.bias)  # type: ignore[arg-type]
    return partial(looked_up, table=part.weight, padding=part.padding_idx)  # type: ignore[arg-type]
