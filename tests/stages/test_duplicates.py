"""`select.duplicates`: whose choice is made without near-duplicates."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dilm.coresets.distinct import Distinct
from dilm.errors import RecipeError
from dilm.recipe import Recipe
from dilm.recipe.rules import check
from dilm.stages.choosing import undoubled


def bench(duplicates: float) -> Any:
    recipe = replace(Recipe(), select=replace(Recipe().select, method="herding", duplicates=duplicates))
    return SimpleNamespace(recipe=recipe, encoder="the encoder")


def test_only_the_recipes_own_method_goes_without_near_duplicates():
    choice: Any = "a selector"
    assert undoubled(bench(0.9), "herding", choice) == Distinct("the encoder", choice, 0.9)  # type: ignore[arg-type]
    assert undoubled(bench(0.9), "random", choice) == choice


def test_at_1_nothing_is_left_out():
    choice: Any = "a selector"
    assert undoubled(bench(1.0), "herding", choice) == choice


@pytest.mark.parametrize("cosine", [0.0, 1.5])
def test_a_cosine_that_leaves_nothing_or_says_nothing_is_refused(cosine: float):
    with pytest.raises(RecipeError, match=r"select\.duplicates should be above 0 and at most 1"):
        check(bench(cosine).recipe)
