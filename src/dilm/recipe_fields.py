"""The names on the recipe's page: every setting by its dotted name, its value, and the nearest one to a misspelling."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydantic.fields import FieldInfo

from dilm.recipe import Recipe

LIST_THEM = "`dilm show default` lists every setting."


@lru_cache(maxsize=1)
def leaves() -> dict[str, FieldInfo]:
    """Dotted name of every setting to its field, in the order of the page."""
    found: dict[str, FieldInfo] = {}
    for name, field in fields_of(Recipe).items():
        section = fields_of(field.annotation)
        found.update({f"{name}.{inner}": below for inner, below in section.items()} or {name: field})
    return found


def flatten(recipe: Recipe) -> dict[str, Any]:
    """Dotted name to value, in the order of the page."""
    values: dict[str, Any] = {}
    for name in leaves():
        section, _, last = name.rpartition(".")
        values[name] = getattr(getattr(recipe, section) if section else recipe, last)
    return values


def nearest(wanted: str, known: Iterable[str]) -> str:
    """`Did you mean `x`?` for a near miss, else an empty text.

    >>> nearest("hering", ["random", "herding"])
    'Did you mean `herding`?'
    """
    found = difflib.get_close_matches(wanted, list(known), n=1, cutoff=0.6)
    return f"Did you mean `{found[0]}`?" if found else ""


def suggest(name: str) -> str:
    """What to do about a name that is no setting."""
    if name in fields_of(Recipe):
        example = next(leaf for leaf in leaves() if leaf.startswith(f"{name}."))
        return f"It is a section: name one of its settings, for example `{example}`."
    last = difflib.get_close_matches(name.rpartition(".")[2], [leaf.rpartition(".")[2] for leaf in leaves()], n=1)
    same_end = [leaf for leaf in leaves() if last and leaf.rpartition(".")[2] == last[0]]
    return f"{nearest(name, same_end or leaves()) or nearest(name, leaves())} {LIST_THEM}".strip()


def fields_of(node: Any) -> dict[str, FieldInfo]:
    """The fields of a recipe or section; none for a plain value."""
    return getattr(node, "__pydantic_fields__", {})
