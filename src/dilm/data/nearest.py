"""What a misspelt name was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], title: str) -> str:
    """A sentence with the name nearest to `name`, if one is near, and the known ones.

    >>> did_you_mean("sst-2", ["sst2", "toy"], "Tasks")
    'Did you mean sst2? Tasks: sst2, toy.'
    """
    known = list(known)
    near = nearest(name, known)
    listed = f"{title}: {', '.join(known[:30])}{', …' if len(known) > 30 else ''}."
    return f"Did you mean {near}? {listed}" if near else listed


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, whatever its case, or None when none does.

    >>> nearest("Reveiw", ["label", "review"]), nearest("zzz", ["label", "review"])
    ('review', None)
    """
    by_lower = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None
