"""Opening a model that writes left to right, and the tokens with which a text begins, is divided and ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from dilm.errors import ModelError
from dilm.models.hub import open_config, open_model
from dilm.types import Task

SEPARATOR = "<|field|>"


class Frame(NamedTuple):
    """Token numbers of what frames a text."""

    start: int
    end: int
    separator: int
    conditions: list[int]
    """What stands before a text of each class."""
    new: list[int]
    """Those among them that the tokenizer got for this task."""


def frame_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task) -> Frame:
    """A token for each class, one between fields, and the tokenizer's own start and end."""
    start, end = start_and_end(tokenizer)
    conditions = add_tokens(model, tokenizer, task, start)
    separator: int = tokenizer.convert_tokens_to_ids(SEPARATOR)  # type: ignore[assignment]
    return Frame(start, end, separator, conditions, [*conditions, separator])


def inner(model: nn.Module) -> PreTrainedModel:
    """What transformers opened, of a model that may stand behind another front."""
    return getattr(model, "inner", model)  # type: ignore[return-value]


def open_causal_model(name: str, **options: Any) -> PreTrainedModel:
    """A model whose output at a position depends on earlier positions only; encoders are switched to decoders."""
    model = open_model(AutoModelForCausalLM, name, **options)
    if not is_causal(model):
        config = open_config(name)
        config.is_decoder = True
        model = open_model(AutoModelForCausalLM, name, config=config, **options)
    if not is_causal(model):
        raise ModelError(
            f"{name!r} sees the whole text at once and cannot write left to right.",
            "Use a causal language model (GPT-2, Llama, ...), an encoder-decoder (T5, BART), a BERT-like encoder, or "
            "`scratch:small`.",
        )
    return model


@torch.no_grad()
def is_causal(model: PreTrainedModel) -> bool:
    """Whether changing a later token leaves the logits of earlier positions as they were."""
    model.eval()
    tokens = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 9]], device=model.device) % model.config.vocab_size
    logits = model(input_ids=tokens).logits
    return bool(torch.allclose(logits[0, :3], logits[1, :3], atol=1e-4))


def start_and_end(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Token numbers of what stands before a text and behind it. Raises ModelError where there are none."""
    bos, cls, eos, sep = (getattr(tokenizer, f"{role}_token_id") for role in ("bos", "cls", "eos", "sep"))
    start = next((token for token in (bos, cls, eos) if token is not None), None)
    end = next((token for token in (eos, sep) if token is not None), None)
    if start is None or end is None:
        raise ModelError(
            "The generator's tokenizer has no start or no end token.",
            "Use a tokenizer with bos and eos, or cls and sep.",
        )
    return start, end


def add_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, start: int) -> list[int]:
    """Token numbers of the conditions; what the tokenizer did not have starts as a copy of the start token.

    The separator too: rows left to the model's own initialisation would differ from one opening to the next.
    """
    names = [f"<|class_{condition}|>" for condition in task.conditions]
    new = [name for name in [*names, SEPARATOR] if name not in tokenizer.get_vocab()]
    tokenizer.add_tokens(new, special_tokens=True)
    rows = model.get_input_embeddings().weight.shape[0]  # type: ignore[index]
    if len(tokenizer) > rows:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    fresh = tokenizer.convert_tokens_to_ids(new)
    for layer in {model.get_input_embeddings(), model.get_output_embeddings()} if fresh else ():
        with torch.no_grad():
            weight: Tensor = layer.weight  # type: ignore[assignment]
            weight[fresh] = weight[start].clone()
    return list(tokenizer.convert_tokens_to_ids(names))  # type: ignore[arg-type]


@contextmanager
def only_positions(model: nn.Module, wanted: Tensor) -> Iterator[None]:
    """Within, the vocabulary layer sees only the `wanted` [n, T] positions, and the logits are [positions, V]."""
    layer: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
    hook = layer.register_forward_pre_hook(lambda _, inputs: (inputs[0][wanted], *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()
