"""Distil a labelled text dataset into a few readable synthetic examples that train any model.

    import dilm
    small = dilm.distill("reviews.csv", text="review", label="stars", per_class=20)

The verbs (`distill`, or one per stage) and the nouns are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dilm.version import VERSION

if TYPE_CHECKING:
    from dilm.api import (
        anonymize,
        audit,
        benchmark,
        compare,
        distill,
        embed,
        evaluate,
        export,
        federate,
        fit,
        generate,
        join,
        load,
        match,
        open_export,
        quota,
        report,
        search,
        select,
        verify,
    )
    from dilm.distilled import Distilled
    from dilm.types import Dataset, Example, Task

__version__ = VERSION

_HOMES = {
    **dict.fromkeys(("distill", "load", "embed", "fit", "match", "generate"), "dilm.api"),
    **dict.fromkeys(("select", "evaluate", "report", "compare", "benchmark", "anonymize", "audit"), "dilm.api"),
    **dict.fromkeys(("search", "verify", "export", "open_export", "quota", "federate", "join"), "dilm.api"),
    "Distilled": "dilm.distilled",
    **dict.fromkeys(("Task", "Example", "Dataset"), "dilm.types"),
}

__all__ = [  # in the order of the road
    "distill",
    "load",
    "embed",
    "fit",
    "match",
    "generate",
    "select",
    "audit",
    "evaluate",
    "report",
    "compare",
    "benchmark",
    "search",
    "anonymize",
    "verify",
    "export",
    "open_export",
    "quota",
    "federate",
    "join",
    "Distilled",
    "Task",
    "Example",
    "Dataset",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
