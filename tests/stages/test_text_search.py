"""A search where the target is text: on the perplexity of dev rows, of which less is better, in every part of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from text_runs import SAID, SHORT
from tiny_runs import SETTINGS

from dilm import api
from dilm.errors import RecipeError
from dilm.reports import search_page
from dilm.reports.scales import scale
from dilm.reports.searched import Searched
from dilm.searching import spaces, studies, trying, tuning

QUICK: dict[str, Any] = (
    SETTINGS
    | SHORT
    | {f"data.{name}": SAID[name] for name in ("text", "target")}
    | {"per_class": 2, "models.generator": "scratch:tiny", "select.sets": 2, "select.filters": ()}
    | {"generation.coherence": 0.0, "match.check_every": 1, "fit.steps": 40}
)
SPACE = {"match.lr": {"low": 1e-5, "high": 1e-2, "log": True}, "select.method": {"choices": ["random", "herding"]}}


@pytest.fixture(scope="module")
def two(answers: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Searched]:
    """A search of two trials. Only to be read."""
    out = tmp_path_factory.mktemp("search") / "two"
    return out, api.search("generation", SPACE, trials=2, out=out, settings=QUICK | {"data.source": str(answers)})


@pytest.mark.slow
def test_the_best_trial_has_the_least_perplexity(two: tuple[Path, Searched]):
    out, found = two
    done = [trial for trial in found.trials if trial.state == "complete"]
    assert len(done) == 2 and all(trial.value and trial.value > 1 for trial in done)
    assert found.best and found.best.value == min(trial.value for trial in done)  # type: ignore[type-var]
    study = studies.opened(out, "", _name(out, found), "minimize")
    assert study.direction.name == "MINIMIZE" and study.best_value == found.best.value
    page = (out / "search.html").read_text("utf-8")
    assert "less is better" in page and f"{found.best.value:.2f}" in page and " %" not in found.score(found.best)
    assert "(less is better)" in (out / "trials.md").read_text("utf-8")
    assert json.loads((out / "trials.json").read_text("utf-8"))["best"] == found.best.number


def _name(out: Path, found: Searched) -> str:
    from dilm.recipe import book

    recipe = book.read(str(out / "recipe.yaml"))
    return tuning.Search(recipe, spaces.of(dict(found.space), recipe), out, 2).name


@pytest.mark.slow
def test_scores_on_the_way_are_perplexities_too(two: tuple[Path, Searched]):
    """Of checkpoints one over what the curve of `match` says, of sets what their learners have."""
    out, found = two
    for trial in studies.opened(out, "", _name(out, found), "minimize").trials:
        folder = out / trying.TRIALS / trial.user_attrs[studies.FOLDER] / "match" / "manifest.json"
        curve = [row for row in json.loads(folder.read_text("utf-8"))["curve"] if "dev_score" in row]
        told = {at: value for at, value in trial.intermediate_values.items() if at < trying.SETS}
        assert list(told.values()) == pytest.approx([1 / row["dev_score"] for row in curve])
        assert trial.intermediate_values[trying.SETS + 1] == pytest.approx(trial.value)


def test_what_is_known_before_rows_are_read_is_that_less_is_better(answers: Path, tmp_path: Path):
    recipe = api.recipe_for(answers, **SAID, settings=SETTINGS | SHORT)
    wanted = tuning.Search(recipe, spaces.of(SPACE, recipe), tmp_path / "out", 2)
    assert scale(wanted.metric).sign < 0


def test_a_trial_is_stopped_early_where_its_perplexity_is_high(tmp_path: Path):
    from optuna import TrialPruned

    study = studies.opened(tmp_path, "", "a study", "minimize")
    for _ in range(trying.ENOUGH):
        finished = trying.Way(study.ask(), 50)
        finished.told(trying.SETS, 20.0)
        study.tell(finished.trial, 20.0)
    trying.Way(study.ask(), 50).told(trying.SETS, 19.0)
    with pytest.raises(TrialPruned):
        trying.Way(study.ask(), 50).told(trying.SETS, 21.0)


def test_neither_how_many_conditions_nor_who_reads_may_be_searched(answers: Path, tmp_path: Path):
    said = {"settings": QUICK | {"data.source": str(answers)}, "trials": 2, "out": tmp_path / "out"}
    with pytest.raises(RecipeError, match="part of how trials are measured"):
        api.search("generation", {"generation.conditions": {"low": 2, "high": 9}}, **said)
    with pytest.raises(RecipeError, match="reads"):
        api.search("generation", SPACE, **said | {"settings": said["settings"] | {"evaluate.learners": ("prompt:x",)}})
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_page_reads_perplexities_from_the_least_on(two: tuple[Path, Searched]):
    _, found = two
    rows = [cells[1] for _, cells in search_page.searched.rows(found)]
    values = [float(cell.split(" ")[0]) for cell in rows]
    assert values == sorted(values)
