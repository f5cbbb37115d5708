"""Named streams of randomness: every draw is a function of the run's seed and of what it is drawn for.

A stream never depends on how much another one was used, so a resumed run draws what an uninterrupted one draws.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive(seed: int, *names: object) -> int:
    """A seed below 2**32 for one purpose.

    >>> derive(0, "fit", 3) == derive(0, "fit", 3) != derive(0, "fit", 4)
    True
    """
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def python_stream(seed: int, *names: object) -> random.Random:
    """Python's own generator, for choices among rows."""
    return random.Random(derive(seed, *names))


def numpy_stream(seed: int, *names: object) -> np.random.Generator:
    """NumPy's generator, for coresets and statistics."""
    import numpy as np

    return np.random.default_rng(derive(seed, *names))


def torch_stream(seed: int, *names: object) -> torch.Generator:
    """A CPU torch generator, for sampling texts."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *names))


def seed_torch(seed: int, *names: object) -> None:
    """Set torch's global generators, which dropout and weight initialisation draw from."""
    import torch

    torch.manual_seed(derive(seed, *names))
