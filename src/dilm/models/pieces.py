"""What runs together: texts of like length, so that short ones are not padded to the longest, and not too much.

On a processor few tokens at once are quicker than many: what becomes of them stays in its caches between two layers.
But with too few, matrices are too small for their kernels, and the more so the quicker these are; and where weights are
rounded for each piece anew, as bfloat16 does, a narrow model is better read in few and large ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PretrainedConfig

from dilm.runtime.device import Place

FLOAT32, BFLOAT16, FRUGAL = 512, 1024, 128
"""Padded tokens that run together on a processor: in either precision, and where memory matters more than time."""
NARROW = 2**18
"""Numbers of a layer's state that run together in bfloat16, where that is more tokens than the above."""
ELSEWHERE, ELSEWHERE_FRUGAL = 4096, 2048


def tokens_at_once(place: Place, model: PretrainedConfig | None = None) -> int:
    """How many padded tokens run together where a graph is kept of them; of narrow models more, if it is told which.

    >>> from torch import device
    >>> from transformers import BertConfig
    >>> place = Place(device("cpu"), bf16=True)
    >>> [tokens_at_once(place, BertConfig(hidden_size=width, vocab_size=500)) for width in (64, 128, 384, 768)]
    [4096, 2048, 1024, 1024]
    """
    if place.device.type != "cpu":
        return ELSEWHERE_FRUGAL if place.recompute else ELSEWHERE
    if place.recompute or not place.bf16:
        return FRUGAL if place.recompute else FLOAT32
    return max(BFLOAT16, NARROW // _width(model)) if model else BFLOAT16


def _width(model: PretrainedConfig) -> int:
    """Numbers that a token takes: in a layer, or an eighth of what it takes over the whole vocabulary."""
    about = model.get_text_config()
    return max(getattr(about, "hidden_size", 0), getattr(about, "vocab_size", 0) // 8, 1)


def tokens_read_at_once(place: Place, model: PretrainedConfig | None = None) -> int:
    """How many run together where nothing is kept of a layer once the next has read it."""
    return 2 * tokens_at_once(place, model)


def pieces(lengths: Sequence[int], tokens: int, spread: int = 1) -> Iterator[list[int]]:
    """Positions by length: those that run together have at most `tokens`, and with their padding at most `spread` times
    as many, or are a single one.

    The longest come first, so that too little memory shows at once.

    >>> list(pieces([3, 9, 4], tokens=9)), list(pieces([3, 9, 4], tokens=16, spread=2))
    ([[1], [2, 0]], [[1, 2, 0]])
    """
    piece: list[int] = []
    width = held = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        length = lengths[position]
        if piece and (held + length > tokens or width * (len(piece) + 1) > spread * tokens):
            yield piece
            piece, held = [], 0
        width = width if piece else length
        piece.append(position)
        held += length
    if piece:
        yield piece
