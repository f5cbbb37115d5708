"""Weights that no process holds whole: fully sharded data parallelism (Zhao et al. 2023), by torch's `fully_shard`.

Each process keeps a slice of every weight, of its gradient and of its moments. A layer is put together when it is read,
and by all at once: so whoever reads must do so as often as the others, in the same order (`processes.Lockstep`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def split(model: nn.Module, group: dist.ProcessGroup, recompute: bool = False) -> None:
    """Leave this process its slice of the weights, which are equal everywhere: layer by layer, and of all else.

    To compute activations twice must be asked for here: a layer is put together for the second time by itself, while
    around the whole model `memory.computed_again` gives wrong gradients without a word.
    """
    mesh, before = DeviceMesh.from_group(group, next(model.parameters()).device.type), None
    for layers in stacks(model):
        for place, layer in enumerate(layers):
            if recompute:
                layers[place] = layer = checkpoint_wrapper(layer)
            before = _sharded(layer, mesh, before)
    _sharded(model, mesh, before)


def _sharded(module: nn.Module, mesh: DeviceMesh, before: FSDPModule | None) -> FSDPModule:
    """A module of which each process has a slice. On the way back that of `before` is put together ahead of its turn,
    where torch by itself would take what it saw read last: which differs where one process wrote texts for all."""
    found = fully_shard(module, mesh=mesh)
    found.set_modules_to_backward_prefetch([before or found])
    return found


def stacks(model: nn.Module) -> Iterator[nn.ModuleList]:
    """Its lists of layers: those that stand in no other.

    >>> stack = nn.ModuleList([nn.Linear(2, 2), nn.Sequential(nn.ModuleList([nn.Linear(2, 2)]))])
    >>> [len(layers) for layers in stacks(nn.Sequential(nn.Linear(2, 2), stack))]
    [2]
    """
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from stacks(child)


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Within, each process holds all weights, and may read as it likes. All must enter, and leave."""
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not model, recurse=False)


def read_together(read: Callable[[list[Any]], Tensor], rows: list[Any], group: dist.ProcessGroup) -> Tensor:
    """`read(rows)`, one number for each of n rows, of which each process reads its part: the same [n] everywhere.

    Its gradient in the weights is, after FSDP took the mean over processes, that of reading all rows here.
    """
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    mine = rows[rank::size]
    own = read(mine or rows[:1])[: len(mine)]  # whoever has none reads nevertheless
    width = -(-len(rows) // size)
    everybodys: Tensor = _Gathered.apply(nn.functional.pad(own, (0, width - len(mine))), group)  # type: ignore[assignment]
    return everybodys.T.flatten()[: len(rows)]


class _Gathered(torch.autograd.Function):
    """Everybody's numbers, by rank: [k] -> [size, k]. What follows is the same in all processes, so is its slope."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        found = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
        dist.all_gather(found, own.contiguous(), group=group)
        return torch.stack(found)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return slopes[0][dist.get_rank(ctx.group)] * len(slopes[0]), None  # a sum, of which FSDP takes the mean


def gathered(state: Any, keep: bool = True) -> Any:
    """A state with its tensors whole, in main memory where they were split. All ask; who does not keep has none."""
    if isinstance(state, Mapping):
        return {name: gathered(value, keep) for name, value in state.items()}
    if not isinstance(state, DTensor):
        return state
    found = state.full_tensor()
    return found.cpu() if keep else None


def sliced(value: Tensor, like: Tensor) -> Tensor:
    """Of a whole tensor what this process keeps, where `like` is split; otherwise the tensor. All ask."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
