"""Several processes of one run, as `torchrun` or `accelerate launch` start them.

All of them run the same verbs on the same run folder. What one alone may do (write, lock, choose, speak) the first
does, and the others are `told`. A training step is shared, and what the shares give is added up. A process that nobody
launched is the first of one: then nothing here loads torch, waits or sends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

from dilm.errors import DilmError

if TYPE_CHECKING:
    from torch import Tensor, device, nn
    from torch.distributed import ProcessGroup

    from dilm.runtime.wire import Wire

Item = TypeVar("Item")
Result = TypeVar("Result")

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher says in the environment: which process this is, of how many, and where they meet."""

ALSO_SAID = ("LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE")


class Elsewhere(Exception):
    """The cause of a fault that another process met, and tells of."""


class Crew:
    """The processes of a run, seen from one of them: its `rank`, and its number on its own machine."""

    def __init__(self, rank: int = 0, machine_rank: int = 0, wire: Wire | None = None) -> None:
        self.rank = rank
        self.machine_rank = machine_rank
        self.wire = wire
        self._working_alone = False

    @property
    def size(self) -> int:
        """How many share the work at hand; within `told` the first is alone."""
        return self._others.size if self._others else 1

    @property
    def _others(self) -> Wire | None:
        return None if self._working_alone else self.wire

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part; all parts together are the items, each once. May be empty.

        >>> ALONE.share("abc")
        'abc'
        """
        return items[self.rank % self.size :: self.size]

    def told(self, work: Callable[[], Result]) -> Result:
        """What `work()` returns or what fault it meets in the first process; the others wait until they are told."""
        others = self._others
        if others is None:
            return work()
        if self.rank:
            answer, fault = others.from_first(None)
            if fault:
                raise fault from Elsewhere()
            return answer
        self._working_alone = True
        try:
            answer = work()
        except DilmError as fault:
            others.from_first((None, fault))
            raise
        finally:
            self._working_alone = False
        others.from_first((answer, None))
        return answer

    def gathered(self, value: Item) -> list[Item]:
        """Everybody's value, by rank."""
        return self._others.gathered(value) if self._others else [value]

    def mean(self, values: Sequence[float]) -> float:
        """The mean of everybody's values, of which a process may have none; the same whoever has which.

        >>> ALONE.mean([1.0, 2.0])
        1.5
        """
        return fmean(value for several in self.gathered(values) for value in several)

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Put the sum of everybody's gradients in the place of each one's; what nobody has a gradient of keeps none."""
        others = self._others
        if others is None:
            return
        import torch

        has = self.gathered([parameter.grad is not None for parameter in parameters])
        for parameter, has_one in zip(parameters, zip(*has, strict=True), strict=True):
            if parameter.grad is None and any(has_one):
                parameter.grad = torch.zeros_like(parameter)
        others.add_up([parameter.grad for parameter in parameters if parameter.grad is not None])

    def copy_from(self, rank: int, tensors: Sequence[Tensor]) -> None:
        """Put that process's numbers in the place of each one's."""
        if self._others:
            self._others.copy_from(rank, tensors)

    def inputs(self, parameters: Sequence[nn.Parameter]) -> Sequence[nn.Parameter] | None:
        """What gradients are taken of, for `backward`: of nothing else that a loss depends on."""
        return parameters

    def gathered_whole(self, state: Item) -> Item:
        """A state with its tensors whole, for the first process; all ask."""
        return state

    def sliced(self, value: Tensor, like: Tensor) -> Tensor:
        """Of a whole tensor what this process keeps of one `like` it."""
        return value

    def start_alike(self, model: nn.Module) -> None:
        """Give everybody the first's weights: what a model file lacks, each process has drawn for itself."""
        self.copy_from(0, list(model.state_dict().values()))

    def draw_apart(self) -> None:
        """Let torch's global generators draw other numbers in every process, as functions of the seed set last."""
        if self.size > 1 and self.rank:
            import torch

            torch.manual_seed(torch.initial_seed() + self.rank)

    def group(self, place: device) -> ProcessGroup:
        """What torch calls those between whom tensors of a device go. All must ask at the same time."""
        assert self.wire is not None
        return self.wire.group(place)

    def listening(self) -> AbstractContextManager[None]:
        """Within, faults of sending are what another process told, also where torch sends of itself."""
        return self.wire.listening() if self.wire else nullcontext()

    def tells(self, fault: BaseException) -> bool:
        """Whether it falls to this process to tell why it ends: to one of those that met the fault."""
        if isinstance(fault.__cause__, Elsewhere):
            return False
        return self.wire is None or self.wire.is_first_to_tell()

    def leave_word(self, fault: DilmError | None) -> None:
        """It was told, or is about to be, why this process ends; from now on the others know. None is a bug."""
        if self.wire:
            self.wire.leave_word(fault)

    def part(self) -> None:
        """Before an end with other words than a fault's: the first has said them, and the others let it."""
        if self.wire and self.rank:
            self.wire.wait_for_word()
        elif self.wire:
            self.wire.leave_word(None)


class Lockstep(Crew):
    """A crew in which all do all of the work, at the same time: for what only together they hold (`runtime/fsdp.py`).

    What they find is the same but for the last digits, so where it decides anything the first one's counts.
    """

    def __init__(self, crew: Crew) -> None:
        super().__init__(crew.rank, crew.machine_rank, crew.wire)

    @property
    def _others(self) -> Wire | None:
        return None

    def told(self, work: Callable[[], Result]) -> Result:
        """What `work()` returns in the first process, after all did it."""
        answer = work()
        return self.wire.from_first(answer) if self.wire else answer

    def inputs(self, parameters: Sequence[nn.Parameter]) -> None:
        """Whatever there is: while a model is read its weights stand elsewhere, and cannot be named."""
        return

    def gathered_whole(self, state: Item) -> Item:
        from dilm.runtime import fsdp

        return fsdp.gathered(state, keep=self.rank == 0)

    def sliced(self, value: Tensor, like: Tensor) -> Tensor:
        from dilm.runtime import fsdp

        return fsdp.sliced(value, like)

    def draw_apart(self) -> None:
        """As that of a crew: each reads rows of its own."""
        if self.rank:
            import torch

            torch.manual_seed(torch.initial_seed() + self.rank)


ALONE = Crew()


def launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return all(name in os.environ for name in NEEDED) and os.environ["WORLD_SIZE"] != "1"


@cache
def crew() -> Crew:
    """This process among the others of its run; the first call waits until all are there."""
    if not launched():
        return ALONE
    from dilm.runtime.wire import Wire

    wire = Wire.join()
    if wire.rank:
        os.environ["DILM_PROGRESS"] = "none"
    return Crew(wire.rank, int(os.environ.get("LOCAL_RANK", wire.rank)), wire)


def forget() -> None:
    """Make this process, and those that it starts, no part of a launched run: for workers that one process has."""
    for name in (*NEEDED, *ALSO_SAID):
        os.environ.pop(name, None)
