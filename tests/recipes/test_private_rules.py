"""At the door: with privacy on, every touch of real rows without a mechanism is refused by the setting to change."""

from __future__ import annotations

import pytest

from dilm import api
from dilm.errors import DilmError, PrivacyError, RecipeError
from dilm.recipe import Recipe, book
from dilm.recipe.private_rules import ASKING, MECHANISMS, REFUSED, require_mechanism
from dilm.recipe.rules import CHOICES

TOUCHES = {
    "pretrain": {"models.generator": "scratch:tiny"},
    "corpus": {"corpus.source": "reviews.txt"},
    "length": {"models.max_tokens": 0},
    "packed": {"select.packed": 0},
    "anonymize": {"anonymize.operator": "replace"},
    "classes": {"fit.name_classes": False},
    "mixture": {"models.mixture": ("gpt2",)},
    "demonstrations": {"instruct.ask": "write", "instruct.demonstrations": 2},
    "marks": {"adapters.rank": 4, "dp.trains": "all"},
    "dora": {"adapters.rank": 4, "adapters.kind": "dora"},
    "regularisation": {"fit.label_smoothing": 0.1},
    "teachers": {"match.teacher_sets": 2},
    "life": {"match.ages": 3},
    "renewal": {"match.trajectory": "fresh"},
    "part": {"match.gradient": "all"},
    "share": {"dp.target": 0.0},
    "fluency": {"match.lm_lambda": 0.1},
    "reward": {"match.reward": 0.1},
    "learners": {"match.learners": ("same", "bert-base-uncased")},
    "checkpoint": {"match.check_every": 20},
    "selection": {"select.method": "validated"},
    "judge": {"select.filters": ("fluency:0.5",)},
    "teacher": {"select.teacher": "learner", "select.filters": ("agree",)},
}


def private(**settings: object) -> Recipe:
    given = {"models.max_tokens": 64, **{name.replace("__", "."): value for name, value in settings.items()}}
    return api.recipe_for("reviews.csv", epsilon=8, settings=given)


def test_the_private_recipes_are_allowed_as_they_are():
    assert private().dp.epsilon == 8 and private().dp.delta == 0
    assert api.recipe_for("toy", epsilon=1).pretrain.corpus == "toy"
    texts = {"text": "ask", "target": "say", "label": "kind", "settings": {"models.max_tokens": 64}}
    assert api.recipe_for("answers.csv", epsilon=8, **texts).match.steps == 0
    assert private(select__filters=("fluency:0.5",), generation__judge="gpt2").generation.judge == "gpt2"
    assert private(**{"match.ages": 3, "dp.trajectory": "synthetic"}).match.ages == 3
    assert api.recipe_for("reviews.csv", epsilon=8, delta="1e-6", settings={"models.max_tokens": 9}).dp.delta == 1e-6


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_touch_without_a_mechanism_is_refused_by_name(touch: str):
    with pytest.raises(PrivacyError) as told:
        private(**TOUCHES[touch])
    assert REFUSED[touch].what in told.value.problem and REFUSED[touch].instead in told.value.remedy
    with pytest.raises(PrivacyError):
        require_mechanism(private(), touch)
    changed = book.override(Recipe(), TOUCHES[touch])
    require_mechanism(changed, touch)  # without epsilon nothing is refused
    if touch not in ("share",):
        book.check(changed)


def test_every_refusal_is_tested_here_but_that_of_real_rows_in_the_product():
    assert set(REFUSED) - set(TOUCHES) == {"pool"}
    with pytest.raises(DilmError, match=r"select\.pool"):
        private(**{"select.pool": "both"})


@pytest.mark.parametrize("method", ASKING)
def test_no_method_that_asks_real_rows_chooses_what_is_kept_or_rewritten(method: str):
    with pytest.raises(PrivacyError):
        private(select__method=method)
    assert method not in CHOICES["rewrite.best"]


def test_all_are_told_at_once():
    with pytest.raises(PrivacyError) as told:
        api.recipe_for("toy", recipe="toy", epsilon=8)
    for touch in ("pretrain", "teachers", "life", "checkpoint"):
        assert REFUSED[touch].what in told.value.problem


def test_what_has_a_mechanism_may_be_read():
    for touch in MECHANISMS:
        require_mechanism(private(), touch)


def test_delta_is_a_number_or_auto():
    with pytest.raises(RecipeError, match="auto"):
        api.recipe_for("toy", epsilon=8, delta="tiny")
