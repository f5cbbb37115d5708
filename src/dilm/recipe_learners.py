"""What `evaluate.learners` may name: which model learns, and in which way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dilm.errors import RecipeError

Way = Literal["finetune", "frozen", "tfidf"]

SAME = "same"


@dataclass(frozen=True)
class Learning:
    """A way to learn from a few examples, and the model that does."""

    way: Way
    """`finetune` trains every weight, `frozen` a logistic head on fixed features, `tfidf` the same on word counts."""
    model: str = ""
    """Hub id, folder, `scratch` or `same`; empty where no model is needed."""
    layers: int = 0
    """Only this many first layers of the model; 0 is all."""


def learning(name: str) -> Learning:
    """What a name in `evaluate.learners` means. Raises RecipeError.

    >>> learning("frozen"), learning("first-3:same").layers, learning("bert-base-uncased").way
    (Learning(way='frozen', model='same', layers=0), 3, 'finetune')
    """
    if name == "tfidf":
        return Learning("tfidf")
    if name == "frozen":
        return Learning("frozen", SAME)
    if name.startswith("frozen:") and len(name) > len("frozen:"):
        return Learning("frozen", name.partition(":")[2])
    if found := re.fullmatch(r"first-([1-9]\d*):(.+)", name):
        return Learning("finetune", found[2], int(found[1]))
    if name.startswith(("frozen:", "first-")) or not name.strip():
        raise RecipeError(
            f"evaluate.learners does not know {name!r}.",
            "Write `same`, a hub id, a folder or `scratch`; `frozen:NAME` for a logistic head on its frozen features; "
            "`first-3:NAME` for its first three layers; or `tfidf`.",
        )
    return Learning("finetune", name)
