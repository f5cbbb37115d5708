"""The bank of learner lives in the user's cache: what it is kept under, and which runs find it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from tiny_runs import SETTINGS, START

from dilm import api, pipeline
from dilm.build import Bench
from dilm.journal import OWN_CODE
from dilm.recipe import Recipe
from dilm.runtime.seeding import derive
from dilm.stages.match import _target, _teachers

OWN = {"data.dev_rows": 30, "data.test_rows": 30}


def bench(source: Path, learner: Path, seed: int, data_seed: int, out: Path) -> Bench:
    settings = SETTINGS | OWN | {"data.seed": data_seed}
    said = START | {"learner": str(learner), "seed": seed}
    return Bench(api.open_run(api.recipe_for(source, settings=settings, **said), out / f"{seed}.{data_seed}"), OWN_CODE)


def bank(found: Bench) -> tuple[Path, Path]:
    """Of the lives, and of their teachers' gradients."""
    learner, ageing = found.learner(), found.ageing(derive(0, "lives"))
    lives = found.lives_folder(learner, ageing)
    return lives, _target(found, lambda step: "0.0", lambda *_: None, lives, _teachers(found)).known.files.folder


def test_runs_of_several_seeds_with_one_seed_of_the_data_share_it(
    source: Path, folders: Mapping[str, Path], tmp_path: Path
):
    """With a pretrained learner; without such a seed, each carves rows of its own."""
    shared = [bank(bench(source, folders["learner"], seed, 7, tmp_path)) for seed in (0, 1)]
    apart = [bank(bench(source, folders["learner"], seed, -1, tmp_path)) for seed in (0, 1)]
    assert shared[0] == shared[1]
    assert apart[0][0] != apart[1][0] != shared[0][0]


def test_a_tokenizer_is_part_of_the_learner(source: Path, folders: Mapping[str, Path], tmp_path: Path):
    """The same weights read other tokens."""
    other = shutil.copytree(folders["learner"], tmp_path / "other")
    file = other / "tokenizer_config.json"
    file.write_text(file.read_text("utf-8").replace("{", '{"note": 1, ', 1), encoding="utf-8")
    one, two = (bench(source, folder, 0, -1, tmp_path / folder.name) for folder in (folders["learner"], other))
    assert one.learner().identity == two.learner().identity
    assert bank(one)[0] != bank(two)[0]


@pytest.mark.parametrize("seed", [0, 3])
def test_the_seed_of_the_data_is_in_the_keys_where_it_is_set(seed: int):
    plain, same, other = (api.recipe_for("toy", seed=seed, settings={"data.seed": own}) for own in (-1, seed, 9))
    assert isinstance(plain, Recipe) and plain.data_seed == same.data_seed == seed and other.data_seed == 9
    assert pipeline.keys(plain)["load"] != pipeline.keys(other)["load"]
    assert pipeline.keys(plain) == pipeline.keys(api.recipe_for("toy", seed=seed))
