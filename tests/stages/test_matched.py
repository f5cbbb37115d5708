"""Matching with more than the recipe's learner: several in turn, killed in the midst, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dilm import api, pipeline
from dilm.errors import PrivacyError, RecipeError
from dilm.recipe import Recipe, book
from dilm.recipe.fields import counted
from dilm.stages.training import Training


def matched(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of `match` with other settings."""
    return api.run_stage(api.change_settings(api.existing_run(folder), dict(settings)), "match")


def weights(folder: Path) -> bytes:
    return (folder / "match" / "model" / "model.safetensors").read_bytes()


class Killed(BaseException):
    """As by a signal, once the first checkpoint is on disk."""


def kill_and_go_on(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a run that was killed after its first checkpoint, and taken up again."""
    whole = Training.checkpoint

    def killed(training: Training) -> None:
        whole(training)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "checkpoint", killed)
        with pytest.raises(Killed):
            matched(folder, settings)
    assert (folder / "match" / "checkpoint.pt").exists()
    facts = api.run_stage(api.existing_run(folder), "match")
    assert facts["resumed"] is True
    return facts


def test_unlike_learners_go_their_road_and_are_resumed_bit_for_bit(
    copied: Path, folders: Mapping[str, Path], tmp_path: Path
):
    """A width of 16 beside the scratch learner's; of three steps between checkpoints the turns do not come out even."""
    other = Path(shutil.copytree(copied, tmp_path / "other"))
    settings = {"match.learners": ("same", str(folders["learner"])), "match.steps": 6, "match.refresh_every": 3}
    settings |= {"match.check_every": 3}
    facts = matched(copied, settings)
    again = kill_and_go_on(other, settings)
    assert again["curve"] == facts["curve"] and weights(other) == weights(copied)
    scores = {row["step"]: row["dev_score"] for row in facts["curve"] if "dev_score" in row}
    assert list(scores) == [0, 3, 6] and len(set(scores.values())) > 1  # it learnt, even where the first was the best


def test_the_recipes_learner_named_twice_is_that_learner_alone(copied: Path):
    """But for the key: its name stands there."""
    alone = matched(copied, {"match.steps": 3, "match.check_every": 0})
    learnt = weights(copied)
    twice = matched(copied, {"match.steps": 3, "match.check_every": 0, "match.learners": ("same", "scratch")})
    assert twice["key"] != alone["key"] and twice["curve"] == alone["curve"] and weights(copied) == learnt


def test_who_is_matched_stands_in_the_keys_where_it_is_said(folders: Mapping[str, Path]):
    plain = Recipe()
    assert "learners" not in counted(plain)["match"]
    named = book.override(plain, {"match.learners": ("same", str(folders["learner"]))})
    before, after = pipeline.keys(plain), pipeline.keys(named)
    assert before["fit"] == after["fit"] and before["match"] != after["match"]


def test_a_scratch_learner_is_made_where_only_matching_names_it():
    from dilm.stages.pretrain import learns

    assert not learns(book.override(Recipe(), {"models.learner": "bert"}))
    assert learns(book.override(Recipe(), {"models.learner": "bert", "match.learners": ("same", "scratch")}))


@pytest.mark.parametrize("name", ["", "frozen:same", "first-3:same", "tfidf", "scratch:tiny", "prompt:gpt2"])
def test_a_learner_is_matched_as_a_whole(name: str):
    with pytest.raises(RecipeError, match=r"match\.learners does not know"):
        book.check(book.override(Recipe(), {"match.learners": ("same", name)}))


@pytest.mark.parametrize("on", [{"dp.epsilon": 3.0}, {"federation.clients": 3}])
def test_privacy_releases_the_states_of_one_learner(on: Mapping[str, Any]):
    with pytest.raises(PrivacyError, match=r"leave match\.learners out"):
        book.check(book.override(Recipe(), {**on, "match.learners": ("same", "bert")}))


REWARDED = {"match.reward": 1.0, "match.reward_every": 2, "match.reward_sets": 2, "match.reward_steps": 3}


def test_rewards_go_their_road_and_are_resumed_bit_for_bit(copied: Path, tmp_path: Path):
    """The weights are others than without; scores stand in the curve where there were any."""
    other = Path(shutil.copytree(copied, tmp_path / "other"))
    settings = {"match.reward_rows": 40, "match.steps": 6, "match.refresh_every": 1, "match.check_every": 0}
    matched(copied, settings)
    plain = weights(copied)
    facts = matched(copied, settings | REWARDED)
    rewards = [(row["step"], row["reward"]) for row in facts["curve"] if "reward" in row]
    assert [step for step, _ in rewards] == [1, 3, 5] and all(0 <= score <= 1 for _, score in rewards)
    again = kill_and_go_on(other, settings | REWARDED)
    assert again["curve"] == facts["curve"] and weights(other) == weights(copied) != plain


def test_matching_sees_the_rows_of_rewards_nowhere_else(copied: Path):
    """Neither teachers nor learners' lives; they are the same at every asking, and of each class its share."""
    from dilm.build import Bench
    from dilm.journal import OWN_CODE
    from dilm.stages.match import _ageing, _teachers
    from dilm.stages.rewarding import kept, matched_rows

    said = {**REWARDED, "match.reward_rows": 30}
    bench = Bench(api.change_settings(api.existing_run(copied), said), OWN_CODE)
    train, rows = bench.splits.train, kept(bench)
    assert rows.fingerprint == kept(bench).fingerprint and 28 <= len(rows) <= 30
    assert max(rows.counts) - min(rows.counts) <= 1
    rest = matched_rows(bench, "teachers")
    assert sorted([*rows.examples, *rest.examples], key=str) == sorted(train.examples, key=str)
    seen = {row.texts for several in _teachers(bench).values() for each in several for row in each}
    assert seen and seen.isdisjoint(row.texts for row in rows)
    assert _ageing(bench, 0).train.fingerprint == rest.fingerprint
    many = Bench(api.change_settings(api.existing_run(copied), {"match.reward_rows": 10**6}), OWN_CODE)
    assert len(kept(many)) <= len(train) / 4


def test_settings_of_rewards_stand_in_no_key_by_default():
    assert not any(name.startswith("reward") for name in counted(Recipe())["match"])
    before, after = (pipeline.keys(book.override(Recipe(), {"match.reward": weight})) for weight in (0.0, 0.5))
    assert before == pipeline.keys(Recipe()) and before["fit"] == after["fit"] and before["match"] != after["match"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"match.reward": -1.0}, "match.reward should be 0 or more"),
        ({"match.reward_sets": 1}, "match.reward_sets should be at least 2"),
        ({"match.reward": 1.0, "match.synthetic": 1}, "match.reward compares sets"),
    ],
)
def test_rewards_that_cannot_be_meant_are_told(settings: Mapping[str, Any], problem: str):
    with pytest.raises(RecipeError, match=problem):
        book.check(book.override(Recipe(), dict(settings)))


def test_privacy_has_no_mechanism_for_rewards():
    with pytest.raises(PrivacyError, match=r"set match\.reward=0"):
        book.check(book.override(Recipe(), {"dp.epsilon": 3.0, "match.reward": 0.1}))


def test_terms_against_collapse_are_asked_for_beside_the_mismatch(copied: Path):
    """Told as shares under their own names, and what is learnt is something else."""
    settings = {"match.steps": 8, "match.lr": 1e-3, "match.check_every": 0, "match.temperature": 0.1}
    plain = matched(copied, {**settings, "match.entropy": 1e-9})["curve"]  # only taken note of
    before = weights(copied)
    asked = matched(copied, {**settings, "match.entropy": 50.0, "match.coverage": 0.1})["curve"]
    assert weights(copied) != before
    assert all(0 <= row["entropy"] <= 1 + 1e-6 for row in (*plain, *asked))
    assert all(row["coverage"] <= 1 + 1e-6 for row in asked) and "coverage" not in plain[0]


def test_where_the_target_is_text_these_terms_have_other_names():
    from dataclasses import replace

    from dilm.stages.fitting import require_fitting
    from dilm.types import Task

    writes = Task("answers", ("ask", "say"), ("all",), kind="generation")
    recipe = book.override(Recipe(), {"evaluate.baselines": ("random",), "select.method": "random"})
    for name, instead in (("entropy", "generation.diversity"), ("coverage", "generation.coverage")):
        with pytest.raises(RecipeError, match=rf"match\.{name} is for tasks with classes") as told:
            require_fitting(replace(recipe, match=replace(recipe.match, **{name: 0.5})), writes)
        assert instead in told.value.remedy


@pytest.mark.parametrize("name", ["match.entropy", "match.coverage"])
def test_terms_against_collapse_touch_no_real_row_and_no_old_key(name: str):
    plain, asked = Recipe(), book.override(Recipe(), {name: 0.5})
    assert name.partition(".")[2] not in counted(plain)["match"]
    assert pipeline.keys(plain)["match"] != pipeline.keys(asked)["match"]
    with pytest.raises(RecipeError, match=f"{name} should be 0 or more"):
        book.check(book.override(Recipe(), {name: -1.0}))
    book.check(book.override(book.read("private"), {name: 0.5}))
