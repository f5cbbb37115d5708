"""What runs together: texts of like length, so that short ones are not padded to the longest, and not too much.

On a processor few tokens at once are quicker than many: what becomes of them stays in its caches between two layers.
But with too few, matrices are too small for their kernels, and the more so the quicker these are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dilm.runtime.device import Place

FLOAT32, BFLOAT16, FRUGAL = 512, 1024, 128
"""Padded tokens that run together on a processor: in either precision, and where memory matters more than time."""
ELSEWHERE, ELSEWHERE_FRUGAL = 4096, 2048


def tokens_at_once(place: Place) -> int:
    """How many padded tokens run together where a graph is kept of them."""
    if place.device.type != "cpu":
        return ELSEWHERE_FRUGAL if place.recompute else ELSEWHERE
    return FRUGAL if place.recompute else BFLOAT16 if place.bf16 else FLOAT32


def tokens_read_at_once(place: Place) -> int:
    """How many run together where nothing is kept of a layer once the next has read it."""
    return 2 * tokens_at_once(place)


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
