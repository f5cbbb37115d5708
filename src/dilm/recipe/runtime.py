"""The section of the recipe for the machine: what changes no result."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe.prompt import DOOR


@dataclass(frozen=True, config=DOOR)
class Runtime:
    """What changes speed or the last digits, and nothing else."""

    device: str = "auto"
    precision: str = "auto"
    """fp32, bf16, or auto: bf16 where the hardware multiplies it natively."""
    threads: int = 0
    """CPU threads; 0 leaves torch's choice."""
    recompute: bool = False
    """Memory before time. Generators compute activations twice instead of keeping them, for a third more time; where
    memory runs out that is done unasked, and training goes on in smaller micro-batches. Learners' untouched copies are
    in a file without a name in the folder for such, which `TMPDIR` names."""
    fsdp: bool = False
    """Several processes: each holds its slice of the generator's weights while that learns, instead of all of them."""
    workers: int = 0
    """Processes that run trials side by side, one thread each; 0: one per core, or 1 on an accelerator."""
    engine: str = "processes"
    """Where trials run: in processes of this machine, or on a `ray` cluster (extra `ray`)."""
    readers: str = "owner"
    """Who may enter a run folder that dilm makes, on POSIX systems: its `owner` alone, or the owner's `group`."""
    cluster: str = ""
    """ray: address of a running cluster, `auto` for the one of this machine; empty: this machine alone."""
