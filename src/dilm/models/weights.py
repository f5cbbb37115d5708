"""The weights of a learner: copies that are copies, the way back to what was opened, and heads drawn from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from tempfile import TemporaryFile, gettempdir
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.errors import ResourceError
from dilm.runtime.seeding import derive


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by name, also what `state_dict` leaves out: the tensors themselves, no copies."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def copied(model: nn.Module) -> dict[str, Tensor]:
    """A snapshot on the CPU that later training does not touch (`state_dict()` alone shares its memory)."""
    return {name: on_cpu(tensor) for name, tensor in tensors(model).items()}


def on_cpu(tensor: Tensor) -> Tensor:
    """A copy that no graph knows of."""
    return tensor.detach().to("cpu", copy=True)


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


class Filed(Mapping[str, Tensor]):
    """Tensors in a file without a name, which is gone with this process: each is read when it is asked for.

    `TMPDIR` says in which folder. Raises ResourceError where there is no room.
    """

    def __init__(self, given: Mapping[str, Tensor]) -> None:
        self.file = TemporaryFile()  # noqa: SIM115
        self.places: dict[str, int] = {}
        self.like = {name: tensor.detach().to("meta") for name, tensor in given.items()}
        try:
            for name, tensor in given.items():
                self.places[name] = self.file.tell()
                self.file.write(_bytes(on_cpu(tensor)).numpy().data)
            self.file.flush()
        except OSError as fault:
            raise ResourceError(
                f"The copy of a model does not fit into {gettempdir()}: {fault.strerror}.",
                "Make room, or set TMPDIR to a folder with more of it.",
            ) from fault

    def __getitem__(self, name: str) -> Tensor:
        like = self.like[name]
        if not like.numel():
            return torch.empty_like(like, device="cpu")
        found = torch.from_numpy(np.memmap(self.file, np.uint8, "c", self.places[name], like.nbytes))
        return found.view(like.dtype).view(like.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _bytes(tensor: Tensor) -> Tensor:
    """Its memory: any shape -> [bytes]."""
    return tensor.flatten().view(torch.uint8)


def content_key(model: PreTrainedModel, pristine: Pristine) -> str:
    """SHA-256 of what `reset` brings back; of the tensors that it draws anew, the names and shapes alone."""
    digest = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in pristine.items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        if name not in pristine.fresh:
            digest.update(_bytes(tensor).numpy().data)
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
