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
    before = weights(copied)
    facts = matched(copied, settings)
    again = kill_and_go_on(other, settings)
    assert again["curve"] == facts["curve"] and weights(other) == weights(copied) != before
    assert [row["step"] for row in facts["curve"] if "dev_score" in row] == [0, 3, 6]


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
