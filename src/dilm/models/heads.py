"""The head of a classifier, found by watching one forward pass instead of by its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.errors import ModelError
from dilm.models.encodings import Batch
from dilm.numerics.gradients import at_least_float32


@torch.no_grad()
def find_head(model: PreTrainedModel, batch: Batch) -> nn.Linear:
    """The last linear layer whose output becomes the logits: at once, or at one position of each row (GPT-2, Llama).

    Raises ModelError where no linear layer does. The model should be in eval mode.
    """
    outputs: dict[nn.Module, Tensor] = {}
    classes = model.config.num_labels
    linear = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == classes]
    with _watching(linear, lambda module, inputs, output: outputs.update({module: output})):
        logits = model(**batch).logits
    for module, output in reversed(outputs.items()):
        if _becomes(output, logits):
            return module  # type: ignore[return-value]
    raise ModelError(
        f"No linear layer of {type(model).__name__} gives its {classes} logits, so its gradients have no closed form.",
        "Use another model as learner: BERT, RoBERTa, DeBERTa, XLNet, GPT-2, Llama and their relatives all have one.",
    )


def read_head(model: PreTrainedModel, head: nn.Linear, batch: Batch) -> tuple[Tensor, Tensor]:
    """What goes into the head and comes out at the pooled position: features [n, d], logits [n, C], float32 or more.

    A head that runs at every position is answered with the number of each position in place of its output; the
    "logits" that the model then returns say which position it pools, exactly, for any model.
    """
    seen: dict[str, Tensor] = {}

    def watch(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        seen.update(features=at_least_float32(inputs[0]), logits=at_least_float32(output))
        if output.ndim == 2:
            return None
        numbers = torch.arange(output.shape[1], dtype=torch.float32, device=output.device)  # bf16 counts only to 256
        return numbers[None, :, None].expand(output.shape)

    with _watching([head], watch):
        pooled = model(**batch).logits
    if seen["logits"].ndim == 2:
        return seen["features"], seen["logits"]
    rows, position = torch.arange(len(pooled), device=pooled.device), pooled[:, 0].long()
    return seen["features"][rows, position], seen["logits"][rows, position]


def _becomes(output: Tensor, logits: Tensor) -> bool:
    if output.ndim == 3:
        return bool((output == logits[:, None]).all(-1).any(-1).all())
    return output.shape == logits.shape and torch.equal(output, logits)


@contextmanager
def _watching(modules: list[Any], hook: Any) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
