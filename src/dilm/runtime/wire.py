"""What goes between the processes of a run, and how one learns that another has ended.

Objects go over gloo in a group of its own, in which a process may wait for days: whoever is told something waits for
all that the first does before. Gradients on GPUs go over NCCL, those elsewhere over gloo.
"""

from __future__ import annotations

import atexit
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store  # type: ignore[reportPrivateImportUsage]
from torch.distributed.rendezvous import rendezvous

from dilm.errors import DilmError, RunError
from dilm.runtime.processes import Elsewhere

Result = TypeVar("Result")

PATIENCE = timedelta(days=30)
"""How long a process waits for another that lives. That one has ended is known at once."""
A_WORD = timedelta(seconds=10)
"""How long a process that ends in silence waits for the one that tells: launchers end all as soon as one has ended."""
AT_ONCE = 2**24
"""Numbers that are added up at once: gradients are copied, and a copy of all of them may be too much."""


class Wire:
    """Connections to the other processes. Calls that all must make raise RunError where one of them has ended."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.control: Any = dist.new_group(backend="gloo", timeout=PATIENCE)

    @classmethod
    def join(cls) -> Wire:
        """Meet the others where the environment says; a script may have done so before."""
        store, rank, size = next(rendezvous("env://"))
        if not dist.is_initialized():
            dist.init_process_group("gloo", store=PrefixStore("group", store), rank=rank, world_size=size)
            atexit.register(dist.destroy_process_group)
        return cls(PrefixStore("words", store))

    def from_first(self, value: Any) -> Any:
        """The first process's value."""
        values = [value]
        self._all(lambda: dist.broadcast_object_list(values, src=0, group=self.control))
        return values[0]

    def gathered(self, value: Any) -> list[Any]:
        """Everybody's value, by rank."""
        values: list[Any] = [None] * self.size
        self._all(lambda: dist.all_gather_object(values, value, group=self.control))
        return values

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over all processes in the place of each tensor; the same bits everywhere."""
        for part in at_once(tensors):
            flat = torch.cat([tensor.flatten() for tensor in part])
            sent = flat if flat.is_cuda else flat.cpu()
            group = self.group(flat.device)
            self._all(lambda sent=sent, group=group: dist.all_reduce(sent, group=group))
            sums = sent.to(flat.device).split([tensor.numel() for tensor in part])
            for tensor, total in zip(part, sums, strict=True):
                tensor.copy_(total.view_as(tensor))

    @torch.no_grad()
    def copy_from(self, rank: int, tensors: Sequence[Tensor]) -> None:
        """Put the numbers of the process of that rank in the place of each tensor's."""
        for tensor in tensors:
            sent = tensor.contiguous() if tensor.is_cuda else tensor.cpu().contiguous()
            group = self.group(tensor.device)
            self._all(lambda sent=sent, group=group: dist.broadcast(sent, src=rank, group=group))
            tensor.copy_(sent)

    def group(self, place: torch.device) -> Any:
        """What tensors of a device go over."""
        return self._gpus if place.type == "cuda" else self.control

    def is_first_to_tell(self) -> bool:
        """True for one process, once: the others need not say what happened. False where nobody can be asked."""
        with suppress(RuntimeError):
            return self.store.add("told", 1) == 1
        return False

    def leave_word(self, fault: DilmError | None) -> None:
        """What was told is told; `fault` is None where it was no user's mistake."""
        with suppress(RuntimeError):
            if not self.store.check(["word"]):
                self.store.set("word", pickle.dumps(fault))  # type: ignore[arg-type]

    def wait_for_word(self) -> None:
        """Return when it was told why the run ends, or after a while."""
        with suppress(RuntimeError):
            self.store.wait(["word"], A_WORD)

    @cached_property
    def _gpus(self) -> Any:
        return dist.new_group(backend="nccl")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let faults of sending within, whoever sends, be what `_all` raises; others stay what they are."""
        try:
            yield
        except RuntimeError as fault:
            if not (isinstance(fault, dist.DistError) or "gloo" in str(fault)):
                raise
            self._give_up(fault)

    def _all(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except RuntimeError as fault:
            self._give_up(fault)

    def _give_up(self, fault: RuntimeError) -> NoReturn:
        """Raise what another process told, or else that it has ended."""
        if heard := self._heard():
            raise heard from Elsewhere()
        raise RunError(
            f"Another process of this run has ended, or cannot be reached ({str(fault).splitlines()[0]}).",
            "What it said stands above; what was finished is kept, so the run can be continued.",
        ) from fault

    def _heard(self) -> DilmError | None:
        """What another process told before it ended."""
        with suppress(RuntimeError):
            return pickle.loads(self.store.get("word")) if self.store.check(["word"]) else None
        return None


def at_once(tensors: Sequence[Tensor], most: int = AT_ONCE) -> Iterator[list[Tensor]]:
    """The tensors in order, as many at once as have `most` numbers together, and one at least.

    >>> [len(part) for part in at_once([torch.zeros(size) for size in (2, 3, 9, 1)], most=5)]
    [2, 1, 1]
    """
    part: list[Tensor] = []
    for tensor in tensors:
        if part and sum(other.numel() for other in part) + tensor.numel() > most:
            yield part
            part = []
        part.append(tensor)
    if part:
        yield part
