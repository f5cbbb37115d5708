"""What a recipe's matching must keep: who is matched, and what is rewarded."""

from __future__ import annotations

from dilm.errors import RecipeError
from dilm.recipe import Recipe
from dilm.recipe.learners import PREFIXES, SAME


def check_matched(recipe: Recipe) -> None:
    """Raise RecipeError for a learner whose gradients cannot be matched, or rewards that tell no texts apart."""
    if recipe.match.reward and recipe.match.synthetic < 2:
        raise RecipeError(
            "match.reward compares sets of a step's texts, and match.synthetic is 1.", "Set match.synthetic above 1."
        )
    for name in recipe.match.learners:
        if name.startswith((*PREFIXES, "first-", "scratch:")) or name == "tfidf" or not name.strip():
            raise RecipeError(
                f"match.learners does not know {name!r}: a learner is matched as a whole.",
                "Write `same`, a hub id, a folder or `scratch`.",
            )


def matched(recipe: Recipe) -> tuple[str, ...]:
    """Who is matched, turn by turn, as models.learner names them.

    >>> matched(Recipe())
    ('scratch',)
    """
    own = recipe.models.learner
    return tuple(own if name == SAME else name for name in recipe.match.learners) or (own,)
