"""An adapted model as an ordinary one that says the same, for programs that know no adapters."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.models.adapters import Marks, is_adapted, marks_of
from dilm.models.weights import tensors


def whole(model: PreTrainedModel) -> PreTrainedModel:
    """The model itself, or where only adapters are trained a copy on the CPU with all they add in its own weights."""
    if not is_adapted(model):
        return model
    made = _on_cpu(model).eval()
    with torch.no_grad():
        _untie(made)
        _add_adapters(made)
        _add_marks(made, marks_of(made))
    del made.marks, made.peft_config  # type: ignore[union-attr]
    return made


def _on_cpu(model: PreTrainedModel) -> PreTrainedModel:
    """A copy; nothing is copied where the model is."""
    copies = {id(each): each.detach().to("cpu", copy=True) for each in tensors(model).values()}
    parameters = {id(each): nn.Parameter(copies[id(each)], requires_grad=False) for each in model.parameters()}
    return deepcopy(model, {**copies, **parameters})


def _untie(model: PreTrainedModel) -> None:
    """What is said gets a table of its own: adapters and marks change it otherwise than the one that is read."""
    layer: nn.Module = model.get_output_embeddings()  # type: ignore[assignment]
    layer = getattr(layer, "base_layer", layer)  # type: ignore[assignment]
    if layer.weight is model.get_input_embeddings().weight:
        layer.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=False)  # type: ignore[operator]
        model.config.tie_word_embeddings = False


def _add_adapters(model: PreTrainedModel) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            above, _, last = name.rpartition(".")
            setattr(model.get_submodule(above), last, module.get_base_layer())


def _add_marks(model: PreTrainedModel, marks: Marks) -> None:
    """Their rows into the table that is read, what they add into the one that is said."""
    layer: nn.Module = model.get_output_embeddings()  # type: ignore[assignment]
    said: Tensor = layer.weight  # type: ignore[assignment]
    table: Tensor = model.get_input_embeddings().weight  # type: ignore[assignment]
    said[marks.said.long()] += marks.added.to(said.dtype)  # type: ignore[operator]
    read = (marks.places >= 0).nonzero().squeeze(1)  # type: ignore[operator]
    table[read] = marks.rows[marks.places[read]].to(table.dtype)  # type: ignore[index]
    for module in model.modules():
        if module is layer or isinstance(module, nn.Embedding):
            module._forward_hooks.clear()  # those of the marks
