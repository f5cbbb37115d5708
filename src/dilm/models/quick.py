"""Parts of transformers' models that take less time made otherwise: the same function, the same parameters.

In a training step of a small model on a processor, drawing dropout took a fifth of the time and GPT-2's activation,
which transformers spells out as eight operations, a fifth more (`benchmarks/parts.py`).
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation

Model = TypeVar("Model", bound=nn.Module)

STEPS = 2**16
"""A share to drop is rounded to one of so many, and what is kept is scaled by what that is: means stay exact."""


class Dropout(nn.Dropout):
    """torch's, with 16 random bits for a number where the processor's own kernel draws a float64 for each."""

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Dropout`: any shape -> the same. From torch's global generator, but not the numbers that it draws."""
        dropped = round(self.p * STEPS)
        if not self.training or input.device.type != "cpu" or dropped in (0, STEPS):
            return super().forward(input)
        words = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.int16)[: input.numel()].view(input.shape) >= dropped - STEPS // 2
        return input * kept.to(input.dtype).mul_(STEPS / (STEPS - dropped))


def quickened(model: Model) -> Model:
    """The model, with these parts in the place of those that it was made with."""
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if type(part) is nn.Dropout:
                setattr(module, name, Dropout(part.p).train(part.training))
            elif isinstance(part, NewGELUActivation):
                setattr(module, name, nn.GELU(approximate="tanh"))
    return model
