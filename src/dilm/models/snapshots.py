"""States of a learner on disk, as small as they can be: what training changed, in half precision.

A run reads a state back even where it has just made it, so that a bank which was there before gives the same result.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dilm.models.weights import Pristine, tensors

SCALE = "/scale"
"""After a tensor's name: what its difference was divided by, so that half precision holds it."""


class TensorFiles:
    """Tensors by name under a name each: one file in a folder, read memory-mapped, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __contains__(self, name: str) -> bool:
        return self._file(name).exists()

    def __getitem__(self, name: str) -> dict[str, Tensor]:
        return load_file(self._file(name))

    def __setitem__(self, name: str, values: dict[str, Tensor]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self._file(name).with_suffix(f".{os.getpid()}")  # two runs may make the same at once
        save_file({key: value.contiguous() for key, value in values.items()}, part)
        part.replace(self._file(name))

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


class Grown(Protocol):
    """A learner that has a model."""

    @property
    def model(self) -> nn.Module: ...


class Snapshots:
    """Snapshots of one learner, whose weights as it was opened are `pristine`."""

    def __init__(self, folder: Path, pristine: Pristine) -> None:
        self.files = TensorFiles(folder)
        self.pristine = pristine

    def __contains__(self, state: str) -> bool:
        return state in self.files

    def __getitem__(self, state: str) -> Mapping[str, Tensor]:
        return Expanded(self.files[state], self.pristine)

    def __setitem__(self, state: str, snapshot: Mapping[str, Tensor]) -> None:
        self.files[state] = pressed(snapshot, self.pristine)

    def keep(self, state: str, learner: Grown) -> None:
        """What the learner is now, tensor by tensor: no second copy of it is made."""
        self[state] = tensors(learner.model)


class Vectors:
    """One tensor under each name."""

    def __init__(self, folder: Path) -> None:
        self.files = TensorFiles(folder)

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def __getitem__(self, name: str) -> Tensor:
        return self.files[name]["vector"]

    def __setitem__(self, name: str, vector: Tensor) -> None:
        self.files[name] = {"vector": vector}


@torch.no_grad()
def pressed(snapshot: Mapping[str, Tensor], pristine: Pristine) -> dict[str, Tensor]:
    """Differences from `pristine` in half precision, each with its scale; fresh tensors and integers as they are.

    Off by at most 2**-11 of a tensor's largest difference. What did not change is left out.
    """
    kept: dict[str, Tensor] = {}
    for name, before in pristine.items():
        now = snapshot[name].detach().to("cpu")
        if name in pristine.fresh or not now.is_floating_point():
            kept[name] = now
        elif not torch.equal(now, before):
            difference = now - before
            scale = torch.maximum(difference.max(), -difference.min())
            kept[name], kept[name + SCALE] = difference.div_(scale).half(), scale
    return kept


class Expanded(Mapping[str, Tensor]):
    """The snapshot that was `pressed`; each tensor is made when it is asked for, so that few are held at a time."""

    def __init__(self, kept: Mapping[str, Tensor], pristine: Pristine) -> None:
        self.kept = kept
        self.before = pristine

    def __getitem__(self, name: str) -> Tensor:
        if name + SCALE in self.kept:
            before = self.before[name]
            return self.kept[name].to(before, copy=True).mul_(self.kept[name + SCALE]).add_(before)
        return self.kept[name] if name in self.kept else self.before[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.before)

    def __len__(self) -> int:
        return len(self.before)
