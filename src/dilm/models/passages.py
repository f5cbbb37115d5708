"""What a generator learns of a text that is longer than it may write: a passage of whole sentences, with an end."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

from transformers import PreTrainedTokenizerBase

from dilm.numerics.words import split_sentences
from dilm.runtime.seeding import python_stream

Encode = Callable[[Sequence[str]], list[list[int]]]
"""Tokens of each text."""


def encoding(tokenizer: PreTrainedTokenizerBase) -> Encode:
    """A tokenizer's own tokens of each text: none that mark where it begins or ends."""
    return lambda texts: tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]  # type: ignore[return-value]


def encoded_within(texts: Sequence[str], room: int, separator: int, encode: Encode) -> list[int]:
    """An example's fields, a separator after each but the last, in `room` tokens: the longest give up what is too much.

    A generator that saw texts broken off would never learn to end one. A text alone is read at a place that it draws
    itself, always the same: rows show the beginnings, middles and ends of long documents, and a row is still one row.
    A field beside others keeps its beginning, which is what the others answer to.

    >>> utf8 = lambda texts: [list(text.encode()) for text in texts]
    >>> bytes(encoded_within(["It began. He ran off. It was over."], 10, 0, utf8))
    b'It began.'
    """
    fields, alone = encode(texts), len(texts) == 1
    allowed = _allowances([len(field) for field in fields], room - len(texts) + 1)
    within = [
        field if len(field) <= most else encode([passage(text, most, encode, alone)])[0][:most]
        for text, field, most in zip(texts, fields, allowed, strict=True)
    ]
    return [token for field in within for token in (*field, separator)][:-1]


def passage(text: str, room: int, encode: Encode, anywhere: bool = True) -> str:
    """As many consecutive sentences as have `room` tokens together: from a place that the text draws, or the first.

    Where no sentence fits, the first words that do; a word that is too long stays too long.
    """
    sentences = split_sentences(text) or [text]
    ends = list(accumulate(map(len, encode([f" {sentence}" for sentence in sentences])), initial=0))
    begin = _beginning(text, ends, room) if anywhere else 0
    end = bisect_right(ends, ends[begin] + room) - 1
    words = sentences[begin].split()
    return _whole(sentences[begin:end], room, encode) or _whole(words, room, encode) or sentences[begin]


def _allowances(sizes: Sequence[int], room: int) -> list[int]:
    """How much of `room` each may take: what is short keeps all of it, the rest share what is left alike."""
    allowed = [0] * len(sizes)
    for done, place in enumerate(sorted(range(len(sizes)), key=lambda place: sizes[place])):
        allowed[place] = min(sizes[place], (room - sum(allowed)) // (len(sizes) - done))
    return allowed


def _beginning(text: str, ends: Sequence[int], room: int) -> int:
    """The sentence to begin with: any that fits, up to the first from which the rest of the text does."""
    last = next((place for place, before in enumerate(ends[:-1]) if ends[-1] - before <= room), len(ends) - 2)
    good = [place for place, (begun, ended) in enumerate(pairwise(ends)) if ended - begun <= room and place <= last]
    return python_stream(0, "passage", text).choice(good or [0])


def _whole(parts: Sequence[str], room: int, encode: Encode) -> str:
    """The longest beginning of `parts` that has at most `room` tokens once it is joined."""
    counts = range(len(parts) + 1)
    most = bisect_right(counts, room, key=lambda count: len(encode([" ".join(parts[:count])])[0]))
    return " ".join(parts[: most - 1])
