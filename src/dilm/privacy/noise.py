"""Secret randomness: Gaussian noise, and the coins that draw rows.

A run's seed is public, so noise that followed from it could be taken away again, and coins could be tossed again. Both
follow from a secret instead. torch's own generator would not do: on a processor it keeps 32 bits of any seed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from dilm.privacy.keystream import KEY_BYTES, Keystream

if TYPE_CHECKING:
    import numpy as np
    import torch


class Noise(Protocol):
    """Draws that nobody else can make."""

    mark: str
    """Empty where the same names give the same numbers again; otherwise the name of this source."""

    def normal(self, like: torch.Tensor, *names: object) -> torch.Tensor:
        """Standard normal numbers in the shape of `like`: float32 where that is, or float64."""
        ...

    def chosen(self, count: int, rate: float, *names: object) -> list[int]:
        """Numbers below `count`, each by a coin of its own that says yes with chance `rate`; ascending, maybe none."""
        ...


class Keyed:
    """Everything follows from a secret key and from what it is drawn for, so that a resumed run draws the same.

    Philox with 128 bits of an HMAC-SHA-256 as its key: one cannot try all keys, though Philox itself is no cipher.
    """

    mark = ""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def normal(self, like: torch.Tensor, *names: object) -> torch.Tensor:
        """Standard normal float32 numbers in the shape of `like`, where that is."""
        import numpy as np
        import torch

        drawn = self._stream("noise", *names).standard_normal(like.numel(), dtype=np.float32)
        return torch.from_numpy(drawn).view(like.shape).to(like.device)

    def chosen(self, count: int, rate: float, *names: object) -> list[int]:
        """Numbers below `count`, each by a coin of its own that says yes with chance `rate`."""
        return _heads(self._stream("rows", *names).random(count), rate)

    def _stream(self, *names: object) -> np.random.Generator:
        text = "/".join(map(str, names)).encode()
        return _philox(int.from_bytes(hmac.digest(self.key, text, hashlib.sha256)[:16], "big"))


class Secure:
    """From a cipher's keystream, each draw under a key of its own from the operating system: never the same again.

    As in Opacus's secure mode four draws are added for one, here in float64, so that the gaps between floats tell no
    one what noise was added to; add it there, and round the sum once. Raises ResourceError where `cryptography` is
    missing.
    """

    def __init__(self, keys: Callable[[], bytes] = lambda: secrets.token_bytes(KEY_BYTES)) -> None:
        Keystream(bytes(KEY_BYTES))  # it is missing now, or not at all
        self.keys = keys
        self.mark = secrets.token_hex(8)

    def normal(self, like: torch.Tensor, *names: object) -> torch.Tensor:
        """Standard normal float64 numbers in the shape of `like`, where that is, or here where no float64 is there."""
        import torch

        drawn = torch.from_numpy(Keystream(self.keys()).normal(like.numel())).view(like.shape)
        return drawn if like.device.type == "mps" else drawn.to(like.device)

    def chosen(self, count: int, rate: float, *names: object) -> list[int]:
        """Numbers below `count`, each by a coin of its own that says yes with chance `rate`."""
        return _heads(Keystream(self.keys()).uniform(count), rate)


def _philox(key: int) -> np.random.Generator:
    import numpy as np

    return np.random.Generator(np.random.Philox(key=key))


def _heads(tossed: np.ndarray, rate: float) -> list[int]:
    return (tossed < rate).nonzero()[0].tolist()


def key_of(secret: bytes, *names: Sequence | object) -> bytes:
    """A key for one purpose; who has it cannot tell the secret or any other key."""
    return hmac.digest(secret, "/".join(map(str, names)).encode(), hashlib.sha256)
