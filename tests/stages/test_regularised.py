"""Regularisation as settings of a run: early stopping of match, KL to the fitted generator, and keys of older runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dilm import api, pipeline
from dilm.distillation.fluency import Anchored
from dilm.errors import RecipeError
from dilm.recipe import Recipe, book
from dilm.recipe.fields import counted

NEW = {"fit.dropout": 0.1, "fit.label_smoothing": 0.1, "match.kl": 0.5, "match.dropout": 0.0, "match.patience": 2}


def test_matching_ends_when_dev_scores_stop_improving(copied: Path):
    """At a rate of nothing all scores are equal, so the first is the best."""
    settings = {"match.steps": 12, "match.lr": 1e-12, "match.patience": 2, "match.ages": 1, "match.check_steps": 2}
    run = api.change_settings(api.existing_run(copied), settings)
    facts = api.run_stage(run, "match")
    assert facts["steps"] == 4, "two checks of two steps each"
    assert [row["step"] for row in facts["curve"] if "dev_score" in row] == [0, 2, 4]


def test_kl_is_asked_at_every_step_of_every_class_and_changes_what_is_learnt(
    copied: Path, monkeypatch: pytest.MonkeyPatch
):
    """Near what `fit` left, which stays as it is."""
    from safetensors.torch import load_file

    asked: list[tuple[int, int]] = []
    real = Anchored.__call__

    def spied(anchored: Anchored, generator: Any, condition: int, step: int) -> Any:
        asked.append((step, condition))
        weights = generator.model.state_dict(), anchored.reference.model.state_dict()  # type: ignore[attr-defined]
        same = all(torch.equal(mine, theirs) for mine, theirs in zip(*map(dict.values, weights), strict=True))
        assert same is (step == 0)
        return real(anchored, generator, condition, step)

    monkeypatch.setattr(Anchored, "__call__", spied)
    before = load_file(copied / "match" / "model" / "model.safetensors")
    settings = {"match.kl": 5.0, "match.steps": 4, "match.check_every": 0}
    api.run_stage(api.change_settings(api.existing_run(copied), settings), "match")
    assert asked == [(step, condition) for step in range(4) for condition in (0, 1)]
    after = load_file(copied / "match" / "model" / "model.safetensors")
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", NEW)
def test_a_new_setting_changes_its_own_stage_and_at_its_default_none(name: str):
    stage, plain = name.partition(".")[0], Recipe()
    assert name.partition(".")[2] not in counted(plain)[stage]
    before, after = pipeline.keys(plain), pipeline.keys(book.override(plain, {name: NEW[name]}))
    assert {each for each in before if before[each] != after[each]} == {stage, *later(stage)}


def later(stage: str) -> set[str]:
    return {name for name in pipeline.NAMES if stage in pipeline.needed(name)}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"fit.dropout": 1.0}, "fit.dropout should be 0 or more and below 1, or -1"),
        ({"match.dropout": -0.5}, "match.dropout should be"),
        ({"fit.label_smoothing": 1.0}, "fit.label_smoothing should be"),
        ({"match.kl": -1.0}, "match.kl should be 0 or more"),
        ({"match.patience": 1, "match.check_every": 0}, "match.patience waits for dev scores"),
    ],
)
def test_what_cannot_be_meant_is_told(settings: dict[str, object], problem: str):
    with pytest.raises(RecipeError, match=problem):
        book.check(book.override(Recipe(), settings))
