"""What a user can get wrong, each with what to do about it. The CLI prints these in one paragraph and exits with 2.

One of them is no mistake: an audit that finds more than was allowed ends with 3, so that a pipeline stops there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

CHECK_FAILED = 3
"""Exit code of a check that found what it looked for; the command itself did its work."""
LISTED = 30
"""Most known names that a remedy has."""


class DilmError(Exception):
    """A mistake that its user can mend: `problem` says what was expected and found, `remedy` what to do."""

    exit_code: ClassVar[int] = 2
    """With which the CLI ends."""
    printed: ClassVar[bool] = False
    """Whether stdout has the whole result already, so that nothing of this goes there."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[DilmError], tuple[str, str]]:
        """So that it survives the way back from a worker process, which an exception of two arguments does not."""
        return type(self), (self.problem, self.remedy)


class DataError(DilmError):
    """The data is not what a labelled text dataset must be."""


class RecipeError(DilmError):
    """A setting is unknown, out of range or contradicts another."""


class RunError(DilmError):
    """A run folder is missing, incomplete, or belongs to another recipe."""


class AccessError(DilmError):
    """Rows, texts or a sealed file were asked for that the asker may not have."""


class ModelError(DilmError):
    """A model cannot be found, read or used in the role that it was given."""


class PrivacyError(DilmError):
    """Real data would be touched without a declared mechanism, or beyond the privacy budget."""


class ResourceError(DilmError):
    """The machine has too little of something: memory, disk, network."""


class AuditError(DilmError):
    """An audit found more than its thresholds allow; what it found is written and printed."""

    exit_code = CHECK_FAILED
    printed = True


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, whatever its case, or None when none does: for a remedy.

    >>> nearest("Reveiw", ["label", "review"]), nearest("zzz", ["label", "review"])
    ('review', None)
    """
    by_lower = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str], title: str = "") -> str:
    """A remedy: the name nearest to `name`, if one is near, and under a title the known ones.

    >>> did_you_mean("hering", ["random", "herding"])
    'Did you mean `herding`?'
    >>> did_you_mean("sst-2", ["sst2", "toy"], "Tasks")
    'Did you mean `sst2`? Tasks: sst2, toy.'
    """
    known = list(known)
    near = nearest(name, known)
    question = f"Did you mean `{near}`?" if near else ""
    listed = f"{title}: {', '.join(known[:LISTED])}{', …' if len(known) > LISTED else ''}." if title else ""
    return f"{question} {listed}".strip()


def first_line(fault: Exception) -> str:
    """What a library's exception says first, for a problem; its type where it says nothing."""
    return next(iter(str(fault).strip().splitlines()), type(fault).__name__)
