"""Anonymization: every finding gives way to its stand-in, in all splits and fields alike, until nothing is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from dilm.privacy.known import Known
from dilm.privacy.pii import Panel
from dilm.privacy.stand_ins import StandIns
from dilm.privacy.survey import Place, Survey
from dilm.types import Dataset, Example, Span

Where = tuple[str, int, str]
"""Split, row, field."""
Advance = Callable[[int], None]

AT_ONCE = 256
"""Texts between two signs of progress."""


def anonymize(
    cells: Mapping[Where, str], panel: Panel, stand_ins: StandIns, advance: Advance
) -> tuple[dict[Where, str], Survey]:
    """The cells with stand-ins, and what was found in them.

    Afterwards the panel finds nothing more, and no secret that was found in one cell is left in another. Cells in which
    nothing was found are what they were.
    """
    texts = list(dict.fromkeys(cells.values()))
    cleaned, found = clean(texts, panel, stand_ins, advance)
    new = dict(zip(texts, cleaned, strict=True))
    counts = dict(zip(texts, found, strict=True))
    places = tuple(
        Place(*where, kind, count) for where, text in cells.items() for kind, count in sorted(counts[text].items())
    )
    rows = Counter(split for split, _ in {where[:2]: None for where in cells})
    survey = Survey(stand_ins.operator, panel.titles, dict(rows), places)
    return {where: new[text] for where, text in cells.items()}, survey


def clean(
    texts: Sequence[str], panel: Panel, stand_ins: StandIns, advance: Advance
) -> tuple[list[str], list[Counter[str]]]:
    """Texts in which nothing is found, and how many of each kind were in each: n texts -> n texts, n counts.

    A stand-in can make its neighbours look like something, so what changed is looked at again. That ends: every round
    leaves less that is no stand-in.
    """
    now, counts, known = list(texts), [Counter[str]() for _ in texts], Known()
    unread = list(range(len(now)))
    while unread:
        found = _look(now, unread, panel, advance)
        for at, spans in found.items():
            known.learn(now[at], spans)
        advance = _silently
        unread = []
        for at in range(len(now)) if any(found.values()) else ():
            spans = panel.settle(now[at], [*found.get(at, ()), *known.spans(now[at])])
            if spans:
                now[at], kinds = _rewritten(now[at], spans, known, stand_ins)
                counts[at].update(kinds)
                unread.append(at)
    return now, counts


def anonymize_datasets(
    parts: Mapping[str, Dataset], panel: Panel, stand_ins: StandIns, advance: Advance
) -> tuple[dict[str, Dataset], Survey]:
    """Several splits of one task: texts change, labels and the number and order of rows do not."""
    cells = {
        (split, row, field): text
        for split, data in parts.items()
        for row, example in enumerate(data, start=1)
        for field, text in zip(data.task.fields, example.texts, strict=True)
    }
    new, survey = anonymize(cells, panel, stand_ins, advance)

    def renewed(split: str, row: int, example: Example) -> Example:
        fields = parts[split].task.fields
        return Example(tuple(new[split, row, field] for field in fields), example.label, example.soft)

    return {
        split: Dataset(data.task, (renewed(split, row, example) for row, example in enumerate(data, start=1)))
        for split, data in parts.items()
    }, survey


def _look(texts: Sequence[str], unread: Sequence[int], panel: Panel, advance: Advance) -> dict[int, list[Span]]:
    found: dict[int, list[Span]] = {}
    for start in range(0, len(unread), AT_ONCE):
        some = unread[start : start + AT_ONCE]
        found.update(zip(some, panel.find([texts[at] for at in some]), strict=True))
        advance(len(some))
    return found


def _rewritten(text: str, spans: Sequence[Span], known: Known, stand_ins: StandIns) -> tuple[str, list[str]]:
    """The text with stand-ins, and the kinds of what they stand for."""
    parts, kinds, end = [], [], 0
    for span in spans:
        secret = text[span.start : span.end]
        kinds.append(known.kind(secret, span.kind))
        parts += [text[end : span.start], stand_ins.of(kinds[-1], secret)]
        end = span.end
    return "".join([*parts, text[end:]]), kinds


def _silently(steps: int) -> None:
    """Texts that are looked at again are not counted again."""
