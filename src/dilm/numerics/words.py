"""Texts as words, n-grams and shingles: what every measure of a text's wording counts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

Words = tuple[str, ...]

SHINGLE = 3
"""Words of a shingle."""

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_MARK = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+|[^\w\s]|_")
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])\s*|\s*<br\s*/?>\s*|\n+")


def words(text: str) -> Words:
    """Runs of letters and digits, whatever their case; punctuation counts only in a text that has nothing else.

    So neither a tokenizer's spaces nor a capital letter hides a copy. Chinese and Japanese characters are words of
    their own. Scripts with separate vowel signs (Hindi, Thai, ...) fall into syllables.

    >>> words("It's GOOD , really!"), words("好看 film"), words(":-) :-)")
    (('it', 's', 'good', 'really'), ('好', '看', 'film'), (':-)', ':-)'))
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return tuple(_WORD.findall(plain) or plain.split())


def split_sentences(text: str) -> list[str]:
    """What ends with a full stop, a question or exclamation mark, a line break of HTML or of its own.

    >>> split_sentences('A slow start. "Why?" he asks<br /><br />Then it is over!')
    ['A slow start.', '"Why?" he asks', 'Then it is over!']
    """
    return [part for part in map(str.strip, _SENTENCE_END.split(text)) if part]


def marks(text: str) -> Words:
    """Words and punctuation as they are written, each mark on its own: what a language model has to foresee.

    >>> marks("It's GOOD , really!")
    ('It', "'", 's', 'GOOD', ',', 'really', '!')
    """
    return tuple(_MARK.findall(text))


def ngrams(text: Sequence[str], n: int) -> list[Words]:
    """All runs of n words, in order, repeats included; none where there are fewer words.

    >>> ngrams(("a", "b", "a"), 2)
    [('a', 'b'), ('b', 'a')]
    """
    return list(zip(*(text[first:] for first in range(n)), strict=False))


def shingles(text: Sequence[str]) -> set[Words]:
    """The different runs of three words; a shorter text is one shingle, an empty one none."""
    return set(ngrams(text, SHINGLE)) or ({tuple(text)} if text else set())


def jaccard(ours: set[Words], theirs: set[Words]) -> float:
    """Shared members as a share of all members; of two empty sets 0, since they have nothing in common.

    >>> jaccard(shingles("a b c d".split()), shingles("b c d e".split()))  # bcd of abc, bcd, cde
    0.3333333333333333
    """
    return len(ours & theirs) / len(ours | theirs) if ours or theirs else 0.0


def joined(texts: Iterable[str]) -> str:
    """The fields of an example as one text, in reading order.

    >>> joined(("Does it work?", "It does."))
    'Does it work? It does.'
    """
    return " ".join(texts)
