"""True and phantom disclosures: real rows that the released texts seem to give away, trained on and held out.

After the idea of Amin et al. ("Phantoms and Disclosures", 2606.16952): a released text that has a run of words which
one real row alone has seems to disclose that row. But a row that nothing was trained on may be hit as well, by chance:
a phantom. Which rows were held out was drawn at random, so if the released texts know nothing of that draw, the trained
rows among those that they hit follow a hypergeometric distribution, however alike rows and texts are among themselves.
Neither a model nor canaries are needed, and the p value is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dilm.errors import DataError
from dilm.numerics.chances import clopper_pearson, drawn_at_least
from dilm.numerics.words import Words, ngrams, words


@dataclass(frozen=True)
class Disclosures:
    """How many rows of either kind the released texts seem to disclose."""

    true: int
    """Rows that were trained on."""
    phantom: int
    """Rows that were held out: what chance does."""
    trained: int
    """Different rows that could have been hit, of either kind; rows with the same words on both sides are left out."""
    held_out: int
    share: float | None
    """Of the rows that are hit, those that were trained on; None where none is hit."""
    low: float
    high: float
    expected: float
    """That share if the texts know nothing of who was trained on."""
    p: float
    """One-sided, of that."""


@dataclass(frozen=True)
class Rows:
    """Different real rows as words, those that were trained on first."""

    trained: tuple[Words, ...]
    held_out: tuple[Words, ...]

    @classmethod
    def of(cls, trained: Sequence[str], held_out: Sequence[str]) -> Rows:
        """The rows that `comparable` leaves. Raises DataError where a side is left without any."""
        ours, theirs = comparable(trained, held_out)
        found = cls(tuple(words(trained[at]) for at in ours), tuple(words(held_out[at]) for at in theirs))
        if not found.trained or not found.held_out:
            raise DataError("There are no rows on one side.", "Hold out some rows, and train on some.")
        return found


def comparable(trained: Sequence[str], held_out: Sequence[str]) -> tuple[list[int], list[int]]:
    """Positions of rows that were as likely to be held out as any other: [n], [m] texts -> positions on either side.

    Equal texts are carved to one side together, so each counts once. Of texts that have the same words and differ in
    case or signs, none counts, on whatever side they are: were only those left out that stand on both sides, common
    texts would be left in train far more often than among the few that are held out, and look trained on for being
    common. Texts without words, and those that stand on both sides, do not count either.

    >>> comparable(["a b", "a b", "A b!", "c"], ["d", "e", "c"])
    ([], [0, 1])
    """
    said = [[words(text) for text in side] for side in (trained, held_out)]
    forms: dict[Words, set[str]] = {}
    for texts, side in zip((trained, held_out), said, strict=True):
        for text, each in zip(texts, side, strict=True):
            forms.setdefault(each, set()).add(text)
    both = set(trained) & set(held_out)

    def counted(texts: Sequence[str], side: Sequence[Words]) -> list[int]:
        first: dict[str, int] = {}
        for at, (text, each) in enumerate(zip(texts, side, strict=True)):
            if each and len(forms[each]) == 1 and text not in both:
                first.setdefault(text, at)
        return list(first.values())

    return counted(trained, said[0]), counted(held_out, said[1])


def copied_rows(released: Iterable[str], rows: Rows) -> Disclosures:
    """The real rows of which all words, and no others, are a released text's."""
    said = {words(text) for text in released}
    return _counted([row in said for row in rows.trained], [row in said for row in rows.held_out])


def disclosures(released: Iterable[str], rows: Rows, span: int) -> Disclosures:
    """The real rows of which a released text has a run of `span` words that no other real row has."""
    said = {run for text in released for run in ngrams(words(text), span)}
    hit = _only_here(said, [*rows.trained, *rows.held_out], span)
    trained = len(rows.trained)
    return _counted([row in hit for row in range(trained)], [trained + row in hit for row in range(len(rows.held_out))])


def _counted(trained: Sequence[bool], held_out: Sequence[bool]) -> Disclosures:
    true, phantom = sum(trained), sum(held_out)
    hit, whole = true + phantom, len(trained) + len(held_out)
    return Disclosures(
        true,
        phantom,
        len(trained),
        len(held_out),
        true / hit if hit else None,
        *clopper_pearson(true, hit),
        len(trained) / whole,
        drawn_at_least(true, hit, len(trained), whole),
    )


def _only_here(runs: set[Words], rows: Sequence[Words], span: int) -> set[int]:
    """The rows that are the only ones to have one of these runs."""
    owner: dict[Words, int] = {}
    for at, row in enumerate(rows):
        for run in runs.intersection(ngrams(row, span)):
            owner[run] = -1 if run in owner else at
    return set(owner.values()) - {-1}
