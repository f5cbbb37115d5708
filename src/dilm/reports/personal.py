"""What was done about personal data, in sentences: for the page and for the card."""

from __future__ import annotations

from dilm.reports import wording
from dilm.reports.findings import Findings

BECAME = {
    "replace": "gave way to their kinds",
    "mask": "were masked by stars",
    "hash": "gave way to salted hashes",
    "pseudonym": "gave way to made-up names",
}
FLAGGED = "flagged"
"""The reason for which a pool rejects a text that a detector flags."""


def sentences(findings: Findings) -> tuple[str, ...]:
    """What was found and replaced, what was rejected later, who looked, what this is not; nothing where it is off."""
    found = findings.personal
    if found is None:
        return ()
    total, rows, touched = sum(found.kinds.values()), sum(found.rows.values()), sum(found.touched.values())
    return (
        f"Before anything was learnt, {wording.count(total, 'finding')} in {wording.count(touched)} of "
        f"{wording.count(rows, 'row')} {BECAME.get(found.operator, found.operator)}, in every split alike.",
        f"The same detectors read what the generators wrote: {wording.count(_flagged(findings), 'text')} that one of "
        "them flagged did not enter a pool.",
        f"{wording.count(len(found.detectors), 'detector')} ran. {'; '.join(found.detectors)}.",
        found.note,
    )


def columns(findings: Findings) -> tuple[str, ...]:
    """Splits as they came, then all of them."""
    return (*findings.personal.rows, "all") if findings.personal else ()


def lines(findings: Findings) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """For each kind its findings in every column, most first."""
    if findings.personal is None:
        return ()
    return tuple(
        (line["kind"], tuple(wording.count(line[name]) for name in columns(findings)))
        for line in findings.personal.by_kind
    )


def _flagged(findings: Findings) -> int:
    return sum(pool.get(FLAGGED, 0) for pool in (findings.rejected or {}).values())
