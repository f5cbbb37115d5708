"""What a recipe's rewriting must keep: who is asked, and requests that show what is to be rewritten."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dilm.errors import RecipeError
from dilm.recipe import Recipe

SERVED = {"served:": "completions", "served-chat:": "chat"}
"""How a served model is named, as among learners, to the route on which it is asked."""
KNOWN = "Write a hub id or folder of an instruction-tuned model, or `served-chat:URL#MODEL` for one behind a server."


@dataclass(frozen=True)
class Asked:
    """Who rewrites."""

    model: str
    """Hub id or folder, or how the server calls it."""
    url: str = ""
    """Of the server; empty for a model that is opened here."""
    route: str = ""


def asked(name: str) -> Asked:
    """What `rewrite.model` means. Raises RecipeError.

    >>> asked("served-chat:http://localhost:8000/v1#llama")
    Asked(model='llama', url='http://localhost:8000/v1', route='chat')
    """
    for prefix, route in SERVED.items():
        if found := re.fullmatch(re.escape(prefix) + r"(https?://[^#]+)#(.+)", name):
            return Asked(found[2], found[1], route)
    if name.startswith((*SERVED, "prompt:", "scratch")) or "://" in name or not name.strip():
        raise RecipeError(f"rewrite.model does not know {name!r}.", KNOWN)
    return Asked(name)


def shown(recipe: Recipe) -> int:
    """How many texts of a class are shown to the model."""
    return recipe.rewrite.texts * (1 if recipe.rewrite.ask == "rewrite" else 2)


def check_rewriting(recipe: Recipe) -> None:
    """Raise RecipeError where what is to be rewritten cannot be meant."""
    wanted = recipe.rewrite
    for setting, needed in (("rewriting", "{text}"), ("merging", "{texts}")):
        if needed not in getattr(wanted, setting):
            raise RecipeError(f"rewrite.{setting} does not show what it is about.", f"Write `{needed}` into it.")
    if not wanted.model:
        return
    asked(wanted.model)
    room = recipe.generate.oversample * recipe.per_class
    if shown(recipe) > room:
        raise RecipeError(
            f"rewrite.texts and rewrite.ask take {shown(recipe)} texts of each class, and a pool has {room}.",
            "Lower rewrite.texts, or raise generate.oversample.",
        )
