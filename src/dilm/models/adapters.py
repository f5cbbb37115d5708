"""Adapters: a model's own weights stay as they are, and small matrices beside them are trained and saved.

LoRA (Hu et al. 2022) and DoRA (Liu et al. 2024) come from peft, and are saved as peft saves them. Beside them stand
rows for the tokens that a model did not know before (`Marks`), without which it could not tell the classes.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.errors import ModelError, first_line

WEIGHTS, MARKS = "adapter_model.safetensors", "marks.safetensors"
SMALL = ("8bit", "4bit")


@dataclass(frozen=True)
class Adapters:
    """What is put beside the weights: `kind` is `lora` or `dora`, `targets` layer names or `all-linear`."""

    rank: int
    kind: str = "lora"
    alpha: float = 0.0
    """0: twice the rank."""
    dropout: float = 0.0
    targets: tuple[str, ...] = ("all-linear",)


class Marks(nn.Module):
    """Trainable rows for a few tokens: what the model reads at them, and what it is to feel before it says them.

    peft's own way trains rows of the vocabulary by copying all of it at every token that is written.
    """

    def __init__(self, model: PreTrainedModel, read: Sequence[int], said: Sequence[int]) -> None:
        super().__init__()
        layer: Any = model.get_output_embeddings()
        table: Tensor = model.get_input_embeddings().weight  # type: ignore[assignment]
        places = torch.full((len(table),), -1, device=table.device)
        places[list(read)] = torch.arange(len(read), device=table.device)
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("said", torch.tensor(list(said), device=table.device), persistent=False)
        self.rows = nn.Parameter(table.detach()[list(read)].float())  # [read, d]
        self.added = nn.Parameter(torch.zeros(len(said), layer.weight.shape[-1], device=table.device))  # [said, d]
        for module in model.modules() if len(read) else ():
            if isinstance(module, nn.Embedding) and module.weight is table:
                module.register_forward_hook(self._read)
        if len(said):
            layer.register_forward_hook(self._say)

    def _read(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Some models scale what they look up."""
        places: Tensor = self.places[inputs[0]]  # type: ignore[index]
        scale = getattr(module, "embed_scale", 1.0)
        own = (self.rows * scale)[places.clamp_min(0)].to(output.dtype)
        return torch.where((places >= 0)[..., None], own, output)

    def _say(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        more = inputs[0].to(self.added.dtype) @ self.added.T
        return output.index_add(-1, self.said, more.to(output.dtype))  # type: ignore[arg-type]


def opening(base: str, device: torch.device) -> dict[str, Any]:
    """Options of `open_model` by which a base is held as fp32, bf16, 8bit or 4bit. Raises ModelError where a library
    for that is not installed."""
    if base not in SMALL:
        return {"dtype": torch.bfloat16} if base == "bf16" else {}
    _require("bitsandbytes", "quantized", f"adapters.base={base}")
    from transformers import BitsAndBytesConfig

    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}  # QLoRA (Dettmers et al. 2023)
    finest = torch.bfloat16 if device.type == "cuda" else torch.float32
    how: dict[str, Any] = {"load_in_8bit": True} if base == "8bit" else {"load_in_4bit": True, **four}
    if base == "4bit":
        how["bnb_4bit_compute_dtype"] = finest
    return {"quantization_config": BitsAndBytesConfig(**how), "device_map": {"": device}, "dtype": finest}


def attach(model: PreTrainedModel, marks: tuple[Sequence[int], Sequence[int]], wanted: Adapters, seed: int) -> Marks:
    """Freeze a model and put fresh adapters into it, in place, drawn from `seed`; tokens that are read and said get
    rows of their own.

    The model must lie on its device already: adapters that are made before a move may silently learn nothing
    (Opacus #820). Raises ModelError where peft is missing or finds no such layers.
    """
    _require("peft", "adapters", "adapters.rank")
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=wanted.rank,
        lora_alpha=wanted.alpha or 2 * wanted.rank,  # type: ignore[arg-type]
        lora_dropout=wanted.dropout,
        target_modules="all-linear" if wanted.targets == ("all-linear",) else list(wanted.targets),
        use_dora=wanted.kind == "dora",
    )
    model.requires_grad_(False)
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out")  # peft then sets it right for GPT-2
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, model)
        except ValueError as fault:
            raise ModelError(
                f"Adapters cannot be put into {type(model).__name__}: {first_line(fault)}",
                "Name other layers in adapters.targets, or write all-linear.",
            ) from fault
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # a step of Adam is lost on bfloat16
    return _marked(model, marks)


def _marked(model: PreTrainedModel, marks: tuple[Sequence[int], Sequence[int]]) -> Marks:
    made = Marks(model, *marks)
    model.add_module("marks", made)
    return made


def save(model: PreTrainedModel, folder: Path) -> None:
    """The adapters as peft writes them, and the marks; nothing of the model's own weights."""
    from peft import get_peft_model_state_dict

    folder.mkdir(parents=True, exist_ok=True)
    config: Any = model.peft_config["default"]  # type: ignore[index]
    config.base_model_name_or_path = None  # which may be a folder of this machine
    config.save_pretrained(folder)
    weights = get_peft_model_state_dict(model, adapter_name="default", save_embedding_layers=False)
    save_file({name: each.contiguous() for name, each in weights.items() if "marks." not in name}, folder / WEIGHTS)
    save_file({name: each.contiguous() for name, each in marks_of(model).state_dict().items()}, folder / MARKS)


def load(model: PreTrainedModel, folder: Path) -> None:
    """What `save` wrote, into a model that has adapters of the same shape."""
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(model, load_file(folder / WEIGHTS), adapter_name="default")
    marks_of(model).load_state_dict(load_file(folder / MARKS))


def is_adapted(model: nn.Module) -> bool:
    """Whether only adapters of it are trained."""
    return hasattr(model, "peft_config")


def marks_of(model: nn.Module) -> Marks:
    """The rows of an adapted model's own tokens."""
    return model.get_submodule("marks")  # type: ignore[return-value]


def freeze_vocabulary(model: PreTrainedModel) -> None:
    """Leave out of training what is read and said of single tokens."""
    marks = list(marks_of(model).parameters()) if is_adapted(model) else []
    tables = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]  # type: ignore[union-attr]
    for parameter in (*tables, *marks):
        parameter.requires_grad_(False)  # type: ignore[union-attr]


def row_of(model: PreTrainedModel, token: int) -> tuple[Tensor, int]:
    """The table in which a token's input row can be changed, and where in it: that of the marks, if it stands there."""
    if is_adapted(model) and (place := int(marks_of(model).places[token])) >= 0:  # type: ignore[index]
        return marks_of(model).rows, place
    return model.get_input_embeddings().weight, token  # type: ignore[return-value]


def _require(library: str, extra: str, setting: str) -> None:
    if importlib.util.find_spec(library) is None:
        raise ModelError(
            f"{setting} needs {library}, which is not installed.", f"Install it: `pip install 'dilm[{extra}]'`."
        )
