"""An adapted model as an ordinary one that says the same, for programs that know no adapters."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.models.adapters import Marks, is_adapted, marks_of


def whole(model: PreTrainedModel) -> PreTrainedModel:
    """The model itself, or where only adapters are trained a copy on the CPU with all they add in its own weights."""
    if not is_adapted(model):
        return model
    made = deepcopy(model).to("cpu").eval()  # type: ignore[arg-type]
    with torch.no_grad():
        _add_adapters(made)
        _add_marks(made, marks_of(made))
    del made.marks, made.peft_config  # type: ignore[union-attr]
    return made


def _add_adapters(model: PreTrainedModel) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            above, _, last = name.rpartition(".")
            setattr(model.get_submodule(above), last, module.get_base_layer())


def _add_marks(model: PreTrainedModel, marks: Marks) -> None:
    """Their rows into the table that is read, what they add into the one that is said, which is no longer the same."""
    layer: nn.Module = model.get_output_embeddings()  # type: ignore[assignment]
    table: Tensor = model.get_input_embeddings().weight  # type: ignore[assignment]
    said: Tensor = layer.weight.detach().clone()  # type: ignore[operator]
    said[marks.said.long()] += marks.added.to(said.dtype)  # type: ignore[operator]
    read = (marks.places >= 0).nonzero().squeeze(1)  # type: ignore[operator]
    table[read] = marks.rows[marks.places[read]].to(table.dtype)  # type: ignore[index]
    layer.weight = nn.Parameter(said)
    model.config.tie_word_embeddings = False
    for module in model.modules():
        if module is layer or isinstance(module, nn.Embedding):
            module._forward_hooks.clear()  # those of the marks
