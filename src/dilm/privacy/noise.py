"""Secret randomness: Gaussian noise, and the coins that draw rows.

A run's seed is public, so noise that followed from it could be taken away again, and coins could be tossed again. Both
follow from a secret instead. torch's own generator would not do: on a processor it keeps 32 bits of any seed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from dilm.errors import ResourceError

if TYPE_CHECKING:
    import numpy as np
    import torch

DEVICE = "/dev/urandom"


class Noise(Protocol):
    """Draws that nobody else can make."""

    mark: str
    """Empty where the same names give the same numbers again; otherwise the name of this source."""

    def normal(self, like: torch.Tensor, *names: object) -> torch.Tensor:
        """Standard normal float32 numbers in the shape of `like`, where that is."""
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
        return _coins(self._stream("rows", *names), count, rate)

    def _stream(self, *names: object) -> np.random.Generator:
        text = "/".join(map(str, names)).encode()
        return _philox(int.from_bytes(hmac.digest(self.key, text, hashlib.sha256)[:16], "big"))


class Secure:
    """From the operating system's generator by way of torchcsprng, as in Opacus's secure mode: never the same again.

    Opacus adds four draws for one, so that the gaps between floats tell no one what noise was added to (Holohan and
    Braghin 2021). Raises ResourceError where torchcsprng is missing.
    """

    def __init__(self) -> None:
        try:
            import torchcsprng  # type: ignore[import-not-found]
        except ImportError as fault:
            raise ResourceError(
                "dp.noise=secure needs torchcsprng, which is not installed.",
                "Install a build of it that fits your torch, or use dp.noise=keyed.",
            ) from fault
        self.generator = torchcsprng.create_random_device_generator(DEVICE)
        self.mark = secrets.token_hex(8)

    def normal(self, like: torch.Tensor, *names: object) -> torch.Tensor:
        """Standard normal float32 numbers in the shape of `like`, where that is."""
        from opacus.optimizers.optimizer import _generate_noise

        return _generate_noise(1.0, like.float(), generator=self.generator, secure_mode=True)

    def chosen(self, count: int, rate: float, *names: object) -> list[int]:
        """Numbers below `count`, each by a coin of its own that says yes with chance `rate`."""
        return _coins(_philox(secrets.randbits(128)), count, rate)


def _philox(key: int) -> np.random.Generator:
    import numpy as np

    return np.random.Generator(np.random.Philox(key=key))


def _coins(stream: np.random.Generator, count: int, rate: float) -> list[int]:
    return (stream.random(count) < rate).nonzero()[0].tolist()


def key_of(secret: bytes, *names: Sequence | object) -> bytes:
    """A key for one purpose; who has it cannot tell the secret or any other key."""
    return hmac.digest(secret, "/".join(map(str, names)).encode(), hashlib.sha256)
