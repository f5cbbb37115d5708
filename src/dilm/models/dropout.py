"""The dropout of a model, whatever its architecture calls it."""

from __future__ import annotations

from torch import nn

from dilm.errors import ModelError

OWN = -1.0
"""The model's own."""
ATTRIBUTES = ("attention_dropout", "dropout", "dropout_rate", "activation_dropout")
"""What modules without a layer for it read when they are called."""


def set_dropout(model: nn.Module, share: float) -> None:
    """From now on the model drops this share in training wherever it can drop any; `OWN` changes nothing.

    Raises ModelError for a share above 0 where the model has no dropout at all.
    """
    if share == OWN:
        return
    found = 0
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p, found = share, found + 1
            continue
        for name in ATTRIBUTES:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)
                found += 1
    if share and not found:
        raise ModelError(
            f"{type(model).__name__} has no dropout to set.", "Set fit.dropout and match.dropout to -1, its own."
        )
