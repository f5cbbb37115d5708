"""How long a generator is fitted when nobody says, and what readers are told of one that could have learnt more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import SETTINGS, START, curve_of

from dilm import api, schedules
from dilm.errors import RecipeError
from dilm.recipe import Recipe
from dilm.recipe.book import override
from dilm.recipe.rules import check
from dilm.schedules import FEWEST, MOST, PASSES, fit_steps
from dilm.stages.notes import notes

counts = st.integers(0, 10**6)


@given(counts, counts, st.integers(1, 512))
def test_more_rows_are_fitted_as_long_or_longer_and_between_the_ends_twice(few: int, more: int, batch: int):
    recipe = override(Recipe(), {"fit.batch": batch})
    few, more = sorted((few, more))
    steps = fit_steps(recipe, more)
    assert FEWEST <= fit_steps(recipe, few) <= steps <= MOST
    if FEWEST < steps < MOST:
        assert steps * batch <= PASSES * more < (steps + 1) * batch


@given(counts, st.integers(0, 10**6))
def test_what_is_asked_for_is_done(rows: int, steps: int):
    assert fit_steps(override(Recipe(), {"fit.steps": steps}), rows) == steps


@given(counts)
@pytest.mark.parametrize("hidden", [{"dp.epsilon": 8.0}, {"federation.clients": 3}])
def test_the_number_of_rows_that_nobody_may_know_decides_nothing(hidden: dict[str, Any], rows: int):
    assert fit_steps(override(Recipe(), hidden), rows) == FEWEST


def test_only_minus_one_stands_for_as_many_as_suit():
    check(Recipe())
    with pytest.raises(RecipeError, match=r"fit\.steps should be 0 or more, or -1"):
        check(override(Recipe(), {"fit.steps": -2}))


def test_a_run_takes_as_many_as_its_rows_suit_and_says_that_more_may_help(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schedules, "FEWEST", 2)
    said = SETTINGS | {"fit.steps": -1, "fit.batch": 32, "fit.check_every": 5, "fit.patience": 100}
    run = api.open_run(api.recipe_for(str(source), **START, settings=said), tmp_path / "run")
    for stage in ("load", "pretrain", "fit"):
        api.run_stage(run, stage)
    manifests = {name: run.stage(name).manifest or {} for name in ("load", "fit")}
    rows = manifests["load"]["rows"]["train"]
    assert manifests["fit"]["steps"] == PASSES * rows // 32 == curve_of(run.folder, "fit")[-1]["step"]
    shorter = manifests | {"fit": curve([5.0, 4.5, 4.1], steps=rows // 32)}
    assert f"had read {rows // 32 * 32:,} of {rows:,} train rows" in " ".join(notes(run.recipe, shorter))
    assert "(4.50 nats a token, then 4.10)" in " ".join(notes(run.recipe, shorter))


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ([5.0, 4.1, 4.5], 10),  # the likelihood fell already
        ([5.0, 4.5, 4.1], 1000),  # every row was read more than twice
        ([4.1], 10),  # nothing to compare with
        ([], 10),  # of private rows no likelihood is told
    ],
)
def test_nothing_is_said_of_a_fit_that_need_not_be_longer(values: list[float], steps: int):
    load = {"rows": {"train": 1000}, "labels": ["a", "b"]}
    told = notes(Recipe(), {"load": load, "fit": curve(values, steps)})
    assert "fit.steps" not in " ".join(told)


def curve(values: list[float], steps: int) -> dict[str, Any]:
    """Facts of a fit whose dev rows cost so much."""
    return {"steps": steps, "curve": [{"step": place, "dev_nll": value} for place, value in enumerate(values)]}
