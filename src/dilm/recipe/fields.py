"""The names on the recipe's page: every setting by its dotted name, its value, and the nearest one to a misspelling."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

from pydantic.fields import FieldInfo

from dilm.errors import did_you_mean, nearest
from dilm.recipe import Recipe

LATER = (
    "anonymize",
    "dp",
    "federation",
    "pretrain.corpus",
    "data.seed",
    "data.user",
    "models.mixture",
    "corpus",
    "fit.dropout",
    "fit.label_smoothing",
    "match.kl",
    "match.dropout",
    "match.patience",
    "data.target",
    "generation.coverage",  # before its section, which is compared without what came later still
    "generation",
    "match.lm_lambda",
    "match.learners",
    "match.entropy",
    "match.coverage",
    "match.reward",
    "match.reward_every",
    "match.reward_sets",
    "match.reward_steps",
    "match.reward_rows",
    "match.centred",
    "generate.sampler",
    "select.filters",
    "select.teacher",
    "select.packed",
    "select.pool",
    "race",
    "evaluate.rows",
    "audit",
    "adapters",
    "instruct",
    "rewrite",
)
"""Settings and sections that came after runs were made. At their defaults they change nothing and stand in no key."""
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


def counted(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values for keys, without what came later and is at its default.

    >>> "pool" in counted(Recipe())["select"], "race" in counted(Recipe()), counted(Recipe())["select"]["method"]
    (False, False, 'typical')
    """
    tree, default = asdict(recipe), asdict(Recipe())
    for name in LATER:
        section, _, last = name.rpartition(".")
        here, there = (tree[section], default[section]) if section else (tree, default)
        if here[last] == there[last]:
            del here[last], there[last]
    return tree


def suggest(name: str) -> str:
    """What to do about a name that is no setting."""
    if name in fields_of(Recipe):
        example = next(leaf for leaf in leaves() if leaf.startswith(f"{name}."))
        return f"It is a section: name one of its settings, for example `{example}`."
    last = nearest(name.rpartition(".")[2], [leaf.rpartition(".")[2] for leaf in leaves()])
    same_end = [leaf for leaf in leaves() if leaf.rpartition(".")[2] == last]
    return f"{did_you_mean(name, same_end or leaves()) or did_you_mean(name, leaves())} {LIST_THEM}".strip()


def fields_of(node: Any) -> dict[str, FieldInfo]:
    """The fields of a recipe or section; none for a plain value."""
    return getattr(node, "__pydantic_fields__", {})
