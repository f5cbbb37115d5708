"""The weights of a learner: copies that are copies, the way back to what was opened, and heads drawn from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.models.filed import Filed, bytes_of, on_cpu
from dilm.runtime.seeding import derive


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by name, also what `state_dict` leaves out: the tensors themselves, no copies."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def copied(model: nn.Module) -> dict[str, Tensor]:
    """A snapshot on the CPU that later training does not touch (`state_dict()` alone shares its memory)."""
    return {name: on_cpu(tensor) for name, tensor in tensors(model).items()}


@torch.no_grad()
def put_back(model: nn.Module, snapshot: Mapping[str, Tensor]) -> None:
    """Write a snapshot into the tensors of `model`, in place, so that optimisers keep pointing at them."""
    for name, tensor in tensors(model).items():
        tensor.copy_(snapshot[name])


class Pristine(Mapping[str, Tensor]):
    """The tensors of a model as it was opened, by name, on the CPU; those that are `fresh` are drawn for each seed.

    With `in_file` the others are kept there instead of in memory, and read one at a time.
    """

    def __init__(self, model: PreTrainedModel, fresh: Collection[str], in_file: bool = False) -> None:
        self.fresh = frozenset(fresh)
        self.frame = hollow(model, keep=self.fresh)
        kept = {name: tensor for name, tensor in tensors(model).items() if name not in self.fresh}
        self.kept: Mapping[str, Tensor] = Filed(kept) if in_file else {name: on_cpu(kept[name]) for name in kept}

    def __getitem__(self, name: str) -> Tensor:
        return tensors(self.frame)[name].detach() if name in self.fresh else self.kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(tensors(self.frame))

    def __len__(self) -> int:
        return len(tensors(self.frame))

    def put_back(self, model: PreTrainedModel, seed: int) -> None:
        """Make `model` pristine, bit for bit, with the fresh tensors of `seed`, the same on every device."""
        self._draw(seed)
        put_back(model, self)

    def _draw(self, seed: int) -> None:
        """The model's own initialisation, which leaves tensors alone that are marked as initialised."""
        for name, tensor in tensors(self.frame).items():
            tensor._is_hf_initialized = name not in self.fresh  # type: ignore[attr-defined]
        for module in self.frame.modules():
            module._is_hf_initialized = False  # type: ignore[assignment]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(seed, "head"))
            self.frame.initialize_weights()


def hollow(model: PreTrainedModel, keep: Collection[str]) -> PreTrainedModel:
    """A copy on the CPU of which only the tensors to `keep` take memory."""
    parts: dict[int, Any] = {}
    for name, tensor in tensors(model).items():
        part = on_cpu(tensor) if name in keep else tensor.detach().to("meta")
        parts[id(tensor)] = nn.Parameter(part, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else part
    return deepcopy(model, parts)


def content_key(model: PreTrainedModel, pristine: Pristine) -> str:
    """SHA-256 of what `reset` brings back; of the tensors that it draws anew, the names and shapes alone."""
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in pristine.items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        if name not in pristine.fresh:
            digest.update(bytes_of(tensor).numpy().data)
    return digest.hexdigest()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within, the model drops nothing; afterwards it is as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
