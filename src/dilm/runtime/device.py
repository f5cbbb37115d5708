"""Where tensors live and in which precision they are multiplied: chosen once, in the wiring."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from dilm.errors import RecipeError
from dilm.runtime import memory
from dilm.runtime.processes import ALONE, Crew

PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class Place:
    """A device and the precision of its matrix products."""

    device: torch.device
    bf16: bool = False
    recompute: bool = False
    """Whether generators compute activations twice instead of keeping them."""

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which forward passes run."""
        if not self.bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def choose(device: str = "auto", precision: str = "auto", threads: int = 0, recompute: bool = False) -> Place:
    """The place that the user asked for, or the best one here; `threads` 0 leaves torch's own choice.

    Freed memory then stays with this process, for speed, unless activations are to be computed twice for want of it.

    Raises RecipeError for a device that this machine or build of torch does not have.
    """
    if precision not in PRECISIONS:
        raise RecipeError(f"Precision {precision!r} is none of {', '.join(PRECISIONS)}.", "Use `auto`.")
    if threads:
        torch.set_num_threads(threads)
    if not recompute:
        memory.keep_pages()
    found = _device(device)
    return Place(found, precision == "bf16" or (precision == "auto" and bf16_is_fast(found)), recompute)


def one_each(name: str, crew: Crew) -> str:
    """The device of this process among those on its machine: GPUs are dealt out, a CPU is shared.

    Raises RecipeError where all are to use the same GPU, or where there are too few.
    """
    if crew is ALONE or not (name.startswith("cuda") or (name == "auto" and torch.cuda.is_available())):
        return name
    if name.startswith("cuda:"):
        raise RecipeError(f"Several processes cannot share {name!r}.", "Use `--device cuda`, or start one process.")
    if crew.machine_rank >= torch.cuda.device_count():
        raise RecipeError(
            f"There are more processes than GPUs on this machine: {torch.cuda.device_count()}.",
            "Start one process for each GPU, or use `--device cpu`.",
        )
    torch.cuda.set_device(crew.machine_rank)
    return f"cuda:{crew.machine_rank}"


def bf16_is_fast(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively; emulated, it is many times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def finest(device: torch.device) -> torch.dtype:
    """The floats of most digits that a device has: Apple's MPS has no float64.

    >>> finest(torch.device("cpu")), finest(torch.device("mps"))
    (torch.float64, torch.float32)
    """
    return torch.float32 if device.type == "mps" else torch.float64


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as fault:
        first = str(fault).splitlines()[0]
        raise RecipeError(
            f"Device {name!r} cannot be used here: {first}", "Try `--device cpu` or `--device auto`."
        ) from fault
    return device
