"""`select.duplicates`: whose choice is made without near-duplicates."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dilm.coresets.distinct import Distinct
from dilm.errors import RecipeError
from dilm.recipe import Recipe
from dilm.recipe_rules import check
from dilm.stages import select


def bench(duplicates: float) -> Any:
    recipe = replace(Recipe(), select=replace(Recipe().select, method="herding", duplicates=duplicates))
    return SimpleNamespace(recipe=recipe, encoder="the encoder", selector=lambda method, generator: method)


def test_only_the_recipes_own_method_goes_without_near_duplicates():
    assert select._selector(bench(0.9), "herding") == Distinct("the encoder", "herding", 0.9)  # type: ignore[arg-type]
    assert select._selector(bench(0.9), "random") == "random"


def test_at_1_nothing_is_left_out():
    assert select._selector(bench(1.0), "herding") == "herding"


@pytest.mark.parametrize("cosine", [0.0, 1.5])
def test_a_cosine_that_leaves_nothing_or_says_nothing_is_refused(cosine: float):
    with pytest.raises(RecipeError, match=r"select\.duplicates should be above 0 and at most 1"):
        check(bench(cosine).recipe)
