"""A class with fewer rows than a baseline takes of it: told when rows are read, not when all texts are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_runs import SETTINGS, START

from dilm import api
from dilm.errors import DataError
from dilm.recipe import Recipe
from dilm.recipe.book import override
from dilm.stages.fitting import require_rows_for_baselines
from dilm.types import Dataset, Example, Task

TASK = Task(name="films", fields=("text",), labels=("bad", "good"), metric="accuracy", max_tokens=8)
ROWS = Dataset(TASK, [Example((f"film {row}",), int(row >= 6)) for row in range(16)])
"""6 of one class, 10 of the other."""


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
    rows = Dataset(replace(TASK, packed=packed), ROWS.examples)
    if enough:
        return require_rows_for_baselines(recipe, rows)
    with pytest.raises(DataError, match=f"'bad' has 6 train rows.*`{baselines[0]}`") as told:
        require_rows_for_baselines(recipe, rows)
    assert all(name in str(told.value) for name in baselines)
    allowed = 6 // packed
    assert f"at most {allowed} per class" in str(told.value)
    require_rows_for_baselines(replace(recipe, per_class=allowed), rows)


def test_nothing_is_made_before_it_is_told(source: Path, tmp_path: Path):
    many = START | {"per_class": 5_000}
    with pytest.raises(DataError, match="train rows, and the baseline `random` takes 5000"):
        api.distill(
            source, out=tmp_path / "run", settings=SETTINGS | {"evaluate.baselines": ["full", "random"]}, **many
        )
    assert not list((tmp_path / "run").glob("*/manifest.json"))
