"""The weights of a learner: a copy that is one, the way back to it, and heads drawn from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.runtime.seeding import derive


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by name, also what `state_dict` leaves out: the tensors themselves, no copies."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def copied(model: nn.Module) -> dict[str, Tensor]:
    """A snapshot on the CPU that later training does not touch (`state_dict()` alone shares its memory)."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors(model).items()}


@torch.no_grad()
def put_back(model: nn.Module, snapshot: Mapping[str, Tensor]) -> None:
    """Write a snapshot into the tensors of `model`, in place, so that optimisers keep pointing at them."""
    for name, tensor in tensors(model).items():
        tensor.copy_(snapshot[name])


class Pristine:
    """A model as it was opened, kept on the CPU, whose `fresh` tensors (by name) are drawn anew for each seed."""

    def __init__(self, model: PreTrainedModel, fresh: Collection[str]) -> None:
        self.model = deepcopy(model).to("cpu")  # type: ignore[arg-type]
        self.fresh = frozenset(fresh)

    def put_back(self, model: PreTrainedModel, seed: int) -> None:
        """Make `model` pristine, bit for bit, with the fresh tensors of `seed`, the same on every device."""
        self._draw(seed)
        put_back(model, tensors(self.model))

    def _draw(self, seed: int) -> None:
        """The model's own initialisation, which leaves tensors alone that are marked as initialised."""
        for name, tensor in tensors(self.model).items():
            tensor._is_hf_initialized = name not in self.fresh  # type: ignore[attr-defined]
        for module in self.model.modules():
            module._is_hf_initialized = False  # type: ignore[assignment]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(seed, "head"))
            self.model.initialize_weights()


def content_key(model: PreTrainedModel, pristine: Pristine) -> str:
    """SHA-256 of what `reset` brings back; of the tensors that it draws anew, the names and shapes alone."""
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in tensors(pristine.model).items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        if name not in pristine.fresh:
            digest.update(tensor.detach().flatten().view(torch.uint8).numpy().data)
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
