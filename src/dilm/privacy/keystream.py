"""Random numbers from the keystream of a cipher: who has not the key cannot tell them from others, nor foretell one.

ChaCha20 (RFC 8439, appendix A.1), from `cryptography`. A key is used for one stream alone, so the nonce is zero.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dilm.errors import ResourceError

if TYPE_CHECKING:
    import numpy as np

KEY_BYTES, NONCE_BYTES, WORD = 32, 16, 8
PIECE = 2**18
"""Numbers that are made at a time: what they are made of takes a few megabytes."""
FOLD = 4
"""Normal numbers that are added up for one."""


class Keystream:
    """The numbers that follow from one key, in their order. Raises ResourceError where `cryptography` is missing."""

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
        except ImportError as fault:
            raise ResourceError(
                "dp.noise=secure needs cryptography, which is not installed.", "Run `pip install 'dilm[privacy]'`."
            ) from fault
        self._cipher = Cipher(algorithms.ChaCha20(key, bytes(NONCE_BYTES)), mode=None).encryptor()

    def bytes(self, count: int) -> bytes:
        """The next bytes."""
        return self._cipher.update(bytes(count))

    def uniform(self, count: int) -> np.ndarray:
        """Numbers from 0 up to, and without, 1: multiples of 2**-53, all as likely: [count], float64."""
        import numpy as np

        words = np.frombuffer(self.bytes(WORD * count), "<u8")
        return (words >> np.uint64(11)) * 2.0**-53

    def normal(self, count: int) -> np.ndarray:
        """Standard normal numbers, [count], float64, each of which is half the sum of four.

        One alone takes few of the values that floats have, and which, tells what it was added to (Mironov 2012); to
        take four apart is hopeless (Holohan and Braghin 2021, section 5.1). None is beyond 17.2 standard deviations.
        """
        import numpy as np

        found = np.zeros(count)
        for first in range(0, count, PIECE):
            part = found[first : first + PIECE]
            for _ in range(FOLD):
                part += self._normal(len(part))
        return found / math.sqrt(FOLD)

    def _normal(self, count: int) -> np.ndarray:
        """By Box and Muller, of whose two numbers the second is thrown away: it would tell of the first."""
        import numpy as np

        lengths, turns = self.uniform(2 * count).reshape(2, -1)
        return np.sqrt(-2.0 * np.log1p(-lengths)) * np.cos(2.0 * math.pi * turns)
