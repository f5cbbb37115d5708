"""What a recipe's generators must keep: settings of adapters that fit together."""

from __future__ import annotations

from dilm.errors import RecipeError
from dilm.recipe import Recipe


def check_generators(recipe: Recipe) -> None:
    """Raise RecipeError where what is asked of the generators cannot be meant."""
    _check_adapters(recipe)


def _check_adapters(recipe: Recipe) -> None:
    wanted = recipe.adapters
    if wanted.base != "fp32" and not wanted.rank:
        raise RecipeError(
            f"adapters.base={wanted.base} holds weights that cannot be trained, and adapters.rank is 0.",
            "Set adapters.rank (8, say), or adapters.base=fp32.",
        )
    if wanted.rank and not wanted.targets:
        raise RecipeError("adapters.targets is empty, so nothing would get an adapter.", "Write `all-linear`.")
