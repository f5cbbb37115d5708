"""What runs together: texts of like length, so that short ones are not padded to the longest, and not too much.

On a processor few tokens at once are quicker than many: what becomes of them stays in its caches between two layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

TOKENS = {"cpu": 512}
"""Padded tokens that run together: with fewer, matrices are too small for their kernels."""
ELSEWHERE = 8192


def tokens_at_once(device: torch.device) -> int:
    """How many run together on a device."""
    return TOKENS.get(device.type, ELSEWHERE)


def pieces(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Positions by length: those that run together have at most `tokens` with their padding, or are a single one.

    The longest come first, so that too little memory shows at once.

    >>> list(pieces([3, 9, 4], tokens=9))
    [[1], [2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    first = 0
    while first < len(order):
        count = max(tokens // max(lengths[order[first]], 1), 1)
        yield order[first : first + count]
        first += count
