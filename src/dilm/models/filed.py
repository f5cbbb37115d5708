"""Tensors in a file instead of in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor

from dilm.errors import ResourceError

ALIGNED = 64
"""Bytes of which the place of each tensor is a multiple."""


class Filed(Mapping[str, Tensor]):
    """Tensors in a file without a name, which is gone with this process: each is read when it is asked for.

    `TMPDIR` says in which folder. Raises ResourceError where there is no room.
    """

    def __init__(self, given: Mapping[str, Tensor]) -> None:
        self.places: dict[str, int] = {}
        self.like = {name: tensor.detach().to("meta") for name, tensor in given.items()}
        try:
            self.file = TemporaryFile()  # noqa: SIM115
            for name, tensor in given.items():
                self.places[name] = self.file.seek(-(-self.file.tell() // ALIGNED) * ALIGNED)
                self.file.write(bytes_of(on_cpu(tensor)).numpy().data)
            self.file.flush()
        except OSError as fault:
            raise ResourceError(
                f"The copy of a model cannot be kept in the folder for temporary files: {fault.strerror}.",
                "Make room there, or set TMPDIR to another folder.",
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


def on_cpu(tensor: Tensor) -> Tensor:
    """A copy that no graph knows of."""
    return tensor.detach().to("cpu", copy=True)


def bytes_of(tensor: Tensor) -> Tensor:
    """Its memory: any shape -> [bytes]."""
    return tensor.flatten().view(torch.uint8)
