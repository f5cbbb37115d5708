"""Which token of a batch is whose, for attention within layers that see all tokens as one long text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

ALIKE = 1 / 2
"""Rows of which the shortest has at least this part of the longest's tokens are padded to one length."""


class Group(NamedTuple):
    """Rows of like length, whose tokens follow each other."""

    rows: Tensor
    """Their numbers in the batch: [k]."""
    first: int
    """The column of the batch where their longest begins."""
    tokens: slice
    """Of all tokens, theirs."""
    places: Tensor
    """Where these stand among `k` times `width`."""
    width: int

    def apart(self, states: Tensor) -> Tensor:
        """Theirs, each row padded with 0: [tokens, ...] of all -> [k, width, ...]."""
        whole = states.new_zeros(len(self.rows) * self.width, *states.shape[1:])
        return whole.index_copy(0, self.places, states[self.tokens]).unflatten(0, (len(self.rows), self.width))

    def seen(self, mask: Tensor | None) -> Tensor | None:
        """Their part of what attention may see: [n or 1, heads or 1, T or 1, T] -> [k or 1, ..., width or 1, width]."""
        if mask is None:
            return None
        own = mask if len(mask) == 1 else mask[self.rows]
        columns = slice(self.first, self.first + self.width)
        return own[..., columns] if own.shape[2] == 1 else own[..., columns, columns]


class Layout:
    """Where the tokens of a padded batch stand: in all of it, and among themselves, rows of like length together."""

    def __init__(self, mask: Tensor) -> None:
        """Of an attention mask [n, T]."""
        self.shape = mask.shape
        lengths = mask.sum(1)
        order = lengths.argsort(descending=True, stable=True)
        self.groups, places, begin = [], [], 0
        for rows in _alike(order, lengths[order].tolist()):
            own = mask[rows].bool()
            columns = own.any(0).nonzero()[:, 0]
            first, last = int(columns[0]), int(columns[-1]) + 1
            within = own[:, first:last].flatten().nonzero()[:, 0]
            here = slice(begin, begin + len(within))
            self.groups.append(Group(rows, first, here, within, last - first))
            width = last - first
            places.append(rows[within // width] * mask.shape[1] + first + within % width)
            begin += len(within)
        self.places = torch.cat(places)

    def flat(self, states: Tensor) -> Tensor:
        """[n, T, ...] -> [1, tokens, ...]; what is the same for all rows may be given once, [1, T, ...]."""
        whole = states.expand(self.shape[0], *states.shape[1:]) if len(states) == 1 else states
        return whole.flatten(0, 1)[self.places].unsqueeze(0)

    def padded(self, states: Tensor) -> Tensor:
        """[1, tokens, ...] -> [n, T, ...], 0 where there is no token."""
        whole = states.new_zeros(self.shape.numel(), *states.shape[2:])
        return whole.index_copy(0, self.places, states[0]).unflatten(0, self.shape)


def _alike(order: Tensor, lengths: list[int]) -> Iterator[Tensor]:
    """Rows by falling length, those that are padded to one."""
    cuts = [0]
    for place, length in enumerate(lengths):
        if length < ALIKE * lengths[cuts[-1]]:
            cuts.append(place)
    for first, last in pairwise([*cuts, len(lengths)]):
        yield order[first:last]


_now: Layout | None = None
"""Of the batch that is in the layers of a model now."""


def set_layout(layout: Layout | None) -> None:
    """Of the batch that is in the layers from now on."""
    global _now
    _now = layout


def by_rows(attend: Callable[..., tuple[Tensor, None]]) -> Callable[..., tuple[Tensor, None]]:
    """An attention function that puts rows apart where layers are given none: [n, heads, T, d] -> [n, T, heads, d]."""

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **asked: Any
    ) -> tuple[Tensor, None]:
        if (layout := _now) is None:
            return attend(module, query, key, value, mask, **asked)
        found = []
        for group in layout.groups:
            apart = (group.apart(states[0].transpose(0, 1)).transpose(1, 2) for states in (query, key, value))
            told, _ = attend(module, *apart, group.seen(mask), **asked)
            found.append(told.flatten(0, 1)[group.places])
        return torch.cat(found).unsqueeze(0), None

    return attention
