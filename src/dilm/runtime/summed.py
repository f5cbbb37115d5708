"""Products and look-ups of large tables whose gradients are added where all of them are summed.

Autograd makes a tensor as large as the table for each use of it, and adds that to the sum. Of a vocabulary, which is
most of a small language model, that is memory for two more gradients of it, and time (`benchmarks/tables.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_summed: frozenset[int] = frozenset()
"""By identity, the tables whose gradients are summed now."""


@contextmanager
def into_sums(tables: Iterable[Tensor]) -> Iterator[None]:
    """Within, `backward` adds the gradients of these tables to their `grad`; others are given to who asks."""
    global _summed
    before, _summed = _summed, frozenset(map(id, tables))
    try:
        yield
    finally:
        _summed = before


def product(rows: Tensor, table: nn.Parameter, bias: Tensor | None = None) -> Tensor:
    """As `nn.functional.linear`: [..., d], [V, d] -> [..., V]."""
    return _Product.apply(rows, table, bias)  # type: ignore[no-any-return]


def looked_up(tokens: Tensor, table: nn.Parameter, padding: int | None = None) -> Tensor:
    """As `nn.functional.embedding`, without a gradient for the `padding` token: [...], [V, d] -> [..., d]."""
    return _LookedUp.apply(tokens, table, padding)  # type: ignore[no-any-return]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, table: nn.Parameter, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.table, ctx.bias, ctx.version = table, bias, table._version
        return nn.functional.linear(rows, table, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        (rows,) = ctx.saved_tensors
        if ctx.table._version != ctx.version:
            raise RuntimeError("A table was changed in place between its use and the way back.")
        back = (slope @ ctx.table.to(slope.dtype)).to(rows.dtype)
        flat, met = slope.flatten(0, -2), rows.flatten(0, -2).to(slope.dtype)
        of_bias = None if ctx.bias is None else flat.sum(0).to(ctx.bias.dtype)
        return back, _given(ctx.table, flat.T, met), of_bias


def _given(table: nn.Parameter, slope: Tensor, rows: Tensor) -> Tensor | None:
    """Their product [V, n] @ [n, d], to whoever asks, or nothing where it was added to the sum."""
    if id(table) not in _summed:
        return (slope @ rows).to(table.dtype)
    if table.grad is None:
        table.grad = (slope @ rows).to(table.dtype)
    elif slope.dtype == table.grad.dtype:
        table.grad.addmm_(slope, rows)
    else:
        table.grad += slope @ rows
    return None


class _LookedUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, table: nn.Parameter, padding: int | None) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.table, ctx.padding = table, padding
        return nn.functional.embedding(tokens, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor | None, None]:
        (tokens,), table = ctx.saved_tensors, ctx.table
        if ctx.padding is not None:
            slope = slope.masked_fill((tokens == ctx.padding)[..., None], 0)
        if id(table) not in _summed:
            return None, _added(torch.zeros_like(table), tokens, slope), None
        if table.grad is None:
            table.grad = torch.zeros_like(table)
        _added(table.grad, tokens, slope)
        return None, None, None


def _added(sums: Tensor, tokens: Tensor, slope: Tensor) -> Tensor:
    """The sums, with each token's slope in its row; in an order that does not change."""
    return sums.index_put_((tokens.flatten(),), slope.flatten(0, -2).to(sums.dtype), accumulate=True)
