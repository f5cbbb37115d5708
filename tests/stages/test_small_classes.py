"""A class with fewer rows than a baseline takes of it: told when rows are read, not when all texts are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_runs import SETTINGS, START

from dilm import api, pipeline
from dilm.errors import DataError
from dilm.recipe import Recipe
from dilm.recipe.book import override
from dilm.stages.fitting import require_rows_for_baselines

COUNTS = {"good": 10, "bad": 6}


def asked(*baselines: str, **settings: object) -> Recipe:
    return override(Recipe(), {"evaluate.baselines": list(baselines), **settings})


@pytest.mark.parametrize(
    ("baselines", "per_class", "packed", "enough"),
    [
        (("random", "herding", "nearest"), 6, 1, True),
        (("random", "herding", "nearest"), 7, 1, False),
        (("full", "untuned", "typical@tokens"), 7, 1, True),
        (("random@packed",), 3, 2, True),
        (("random@packed",), 4, 2, False),
        (("random",), 4, 2, True),
    ],
)
def test_a_baseline_wants_as_many_rows_of_every_class_as_it_shows(
    baselines: tuple[str, ...], per_class: int, packed: int, enough: bool
):
    recipe = asked(*baselines, per_class=per_class, **({"select.packed": packed} if packed > 1 else {}))
    if enough:
        return require_rows_for_baselines(recipe, COUNTS)
    with pytest.raises(DataError, match=f"'bad' has 6 train rows.*`{baselines[0]}`") as told:
        require_rows_for_baselines(recipe, COUNTS)
    assert all(name in str(told.value) for name in baselines)
    allowed = 6 // packed
    assert f"at most {allowed} per class" in str(told.value)
    require_rows_for_baselines(replace(recipe, per_class=allowed), COUNTS)


def test_nothing_is_made_before_it_is_told(source: Path, tmp_path: Path):
    many = START | {"per_class": 5_000}
    with pytest.raises(DataError, match="train rows, and the baseline `random` takes 5000"):
        api.distill(
            source, out=tmp_path / "run", settings=SETTINGS | {"evaluate.baselines": ["full", "random"]}, **many
        )
    assert not list((tmp_path / "run").glob("*/manifest.json"))


def test_it_is_told_before_anything_is_written_for_another_size(copied: Path):
    run = api.existing_run(copied)
    before, many = (copied / "recipe.yaml").read_text("utf-8"), {"per_class": 5_000}
    with pytest.raises(DataError, match="takes 5000 of every class"):
        api.run_stage(api.with_settings(run, many), "generate")
    assert (copied / "recipe.yaml").read_text("utf-8") == before
    assert set(pipeline.states(api.existing_run(copied)).values()) == {"done"}
    with pytest.raises(DataError, match="takes 5000 of every class"):
        api.plan(api.with_settings(run, many))
