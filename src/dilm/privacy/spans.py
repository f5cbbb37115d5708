"""Spans of a text: overlapping ones become one, and what is already a stand-in is cut out of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from dilm.types import Span

Range = tuple[int, int]
SAYS_SOMETHING = re.compile(r"\w")


def settle(text: str, spans: Iterable[Span], allowed: Sequence[Range], done: Sequence[Range]) -> list[Span]:
    """What is to be replaced: disjoint spans in order, none of them allowed and none inside what is `done` already.

    A span within an allowed range is dropped before anything else; one that only holds an allowed range stays whole.
    """
    wanted = [span for span in spans if span.end > span.start and not _within(span, allowed)]
    return [piece for span in merged(wanted) for piece in _pieces(text, span, done)]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Overlapping spans as one, of the kind that is surest, then longest: no part of a finding is left behind.

    >>> merged([Span(4, 16, "EMAIL_ADDRESS", 1.0), Span(8, 16, "URL", 0.5)])
    [Span(start=4, end=16, kind='EMAIL_ADDRESS', score=1.0)]
    """
    found: list[list[Span]] = []
    reached = -1
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if span.start < reached:
            found[-1].append(span)
        else:
            found.append([span])
        reached = max(reached, span.end)
    return [_union(group) for group in found]


def ranges(pattern: re.Pattern[str] | None, text: str) -> list[Range]:
    """Where a pattern stands in a text."""
    return [found.span() for found in pattern.finditer(text)] if pattern else []


def _union(group: Sequence[Span]) -> Span:
    first = min(group, key=lambda span: (-span.score, span.start - span.end, span.kind))
    return Span(group[0].start, max(span.end for span in group), first.kind, first.score)


def _within(span: Span, allowed: Iterable[Range]) -> bool:
    return any(start <= span.start and span.end <= end for start, end in allowed)


def _pieces(text: str, span: Span, done: Iterable[Range]) -> Iterator[Span]:
    """The span without space at its ends, and without what is done; of what that leaves, the pieces with a word."""
    cuts = [(start, end) for start, end in done if start < span.end and span.start < end]
    edges = [span.start, *(edge for cut in cuts for edge in cut), span.end]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        piece = text[max(start, span.start) : end]
        if piece.strip() and (not cuts or SAYS_SOMETHING.search(piece)):
            left = start + len(piece) - len(piece.lstrip())
            yield Span(left, left + len(piece.strip()), span.kind, span.score)
