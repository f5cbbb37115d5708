"""How many texts may be written from a run whose generator several people share, and how many were.

It keeps an account for people who use `dilm` on one run folder, and no control over others: who can read the generator
can load it and let it write as much as they like.
"""

from __future__ import annotations

from dataclasses import dataclass

from dilm import journal
from dilm.errors import AccessError, RunError
from dilm.runs import Run


@dataclass(frozen=True)
class Quota:
    """`limit` None: nobody set one."""

    limit: int | None
    written: int

    @property
    def left(self) -> int | None:
        """None is without end."""
        return None if self.limit is None else max(self.limit - self.written, 0)


def read(run: Run) -> Quota:
    """The last limit that was set, and the texts of all draws. Raises AccessError where the journal is damaged."""
    found = journal.entries(run.folder)
    if found.faults:
        raise AccessError(
            f"{run.folder / journal.LOG} is damaged ({found.faults[0]}), so nobody knows how much was written.",
            "See `dilm verify`, and restore the file.",
        )
    limits = [row["texts"] for row in found.rows if row.get("act") == journal.LIMITED]
    draws = {row["key"]: row["texts"] for row in found.rows if row.get("act") == journal.WRITTEN}
    return Quota(limits[-1] if limits else None, sum(draws.values()))


def limit(run: Run, texts: int) -> Quota:
    """Set how many texts may be written in all, those of before included; who set it stands in the journal."""
    if texts < 0:
        raise RunError(f"A quota of {texts} texts cannot be meant.", "Name 0 or more.")
    journal.note(run, journal.LIMITED, texts=texts)
    return read(run)


def charge(run: Run, key: str, texts: int) -> None:
    """Count the texts of a draw before the first is written. Raises AccessError where fewer are left.

    Equal keys draw the same texts, so that a draw which is repeated, as after a kill, counts once.
    """
    now = read(run)
    known = any(row.get("act") == journal.WRITTEN and row["key"] == key for row in journal.entries(run.folder).rows)
    if known:
        return
    if now.left is not None and texts > now.left:
        raise AccessError(
            f"This would write {texts} texts, and {now.left} are left of the quota of {now.limit} in {run.folder}.",
            "Lower per_class, generate.oversample or select.sets, or ask whose run it is to raise it (`dilm quota`).",
        )
    journal.note(run, journal.WRITTEN, key=key, texts=texts)
