"""Memory: how much was used, and a plain word when there is too little."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dilm.errors import ResourceError

SYMPTOMS = ("out of memory", "can't allocate memory")
"""What CUDA and Apple's MPS say, and what torch's CPU allocator says; all of them raise RuntimeError."""


@contextmanager
def guard(what: str, remedy: str) -> Iterator[None]:
    """Turn running out of memory into a ResourceError that names `what` did not fit and the `remedy`."""
    try:
        yield
    except (RuntimeError, MemoryError) as fault:
        if not (isinstance(fault, MemoryError) or any(symptom in str(fault) for symptom in SYMPTOMS)):
            raise
        raise ResourceError(f"Not enough memory for {what}.", remedy) from fault


def peak_mb() -> float:
    """Most memory held so far, in MB: of the GPU where one is in use, otherwise of this process; nan where unknown."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
