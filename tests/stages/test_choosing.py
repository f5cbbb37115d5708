"""Filters, races and real rows on a finished run: what the stage tells, what the product says, what stays as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dilm import api, pipeline
from dilm.build import Bench
from dilm.coresets.distribution_matching import DistributionMatching
from dilm.coresets.random import Random
from dilm.distilled import Distilled
from dilm.errors import RecipeError
from dilm.journal import OWN_CODE
from dilm.recipe import Recipe
from dilm.recipe.book import override
from dilm.runs import Run
from dilm.runtime.hashing import key
from dilm.stages import jobs, load
from dilm.stages.generate import pool
from dilm.stages.select import BOTH, real_sets, synthetic_sets
from dilm.types import Dataset
from dilm.version import VERSION


def selected(run: Path, **settings: object) -> tuple[Run, dict[str, Any]]:
    """The run after `select` under changed settings of it, and the facts."""
    said = {name.replace("__", "."): value for name, value in settings.items()}
    changed = api.change_settings(api.existing_run(run), said)
    return changed, api.run_stage(changed, "select")


def test_keys_of_a_recipe_without_any_of_this_are_those_of_before():
    """Runs that were made earlier are complete still."""
    keys, recipe = pipeline.keys(Recipe()), Recipe()
    before = {"method": "typical", "long": 0.5, "sure": 0.1, "duplicates": 1.0, "sets": 3}
    parents = {"generate": keys["generate"]}
    assert keys["select"] == key(["select", [before, recipe.evaluate.baselines], parents, VERSION])
    strict = override(recipe, {"race.candidates": 5, "race.steps": 9})
    assert pipeline.keys(strict) == keys, "nothing is raced"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"select.filters": ["agree"]}),
        ({}, {"select.pool": "both"}),
        ({"select.method": "raced"}, {"race.steps": 9}),
        ({"evaluate.baselines": ["raced"]}, {"race.candidates": 5}),
        ({"select.filters": ["agree"], "select.teacher": "learner"}, {"evaluate.full_steps": 9}),
    ],
)
def test_what_changes_the_sets_changes_the_key_of_select(first: dict[str, object], then: dict[str, object]):
    one = override(Recipe(), first)
    keys, others = pipeline.keys(one), pipeline.keys(override(one, then))
    assert keys["generate"] == others["generate"] and keys["select"] != others["select"]


def test_a_plain_selection_tells_nothing_more_than_before(finished: Distilled):
    assert finished.run and finished.provenance.real_rows == ()
    facts = json.loads((finished.run / "select" / "manifest.json").read_text("utf-8"))
    assert {"real", "filters", "races"}.isdisjoint(facts)
    assert "A language model wrote every text." in finished.card


def test_filters_tell_what_they_removed_and_where_they_yielded(copied: Path):
    filters = ["agree", "words:2", "sure:0.5", "repetition:0.9", "words:50"]
    run, facts = selected(copied, select__filters=filters, evaluate__baselines=["random", "typical", "untuned"])
    told = facts["filters"]
    assert set(told) == {"dilm", "untuned", "typical"}, "real rows of the same method too"
    assert [list(tallies) for tallies in told["dilm"]] == [filters] * 2
    for tallies in (*told["dilm"], *told["untuned"]):
        left = 9  # 3 x 3 texts of each class
        for name in filters:
            for label in ("thumbs down", "thumbs up"):
                assert 0 <= tallies[name]["removed"][label] <= 9 and tallies[name]["yielded"][label] <= 3
            left -= tallies[name]["removed"]["thumbs up"]
        assert left == 3 == tallies["words:50"]["yielded"]["thumbs up"], "no text has 50 words, three had to stay"
    api.run_stage(run, "evaluate")
    api.report(copied)
    page = (copied / "report.html").read_text("utf-8")
    assert "let 3 pass in class" in page and "words:50" in page


def test_distribution_matching_is_nearer_to_the_real_rows_than_chance(copied: Path):
    baselines = ["distribution_matching", "untuned"]
    run, _ = selected(copied, select__method="distribution_matching", evaluate__baselines=baselines)
    bench = Bench(run, OWN_CODE)
    train = bench.encoder.encode(bench.splits.train)
    for ours, real in zip(synthetic_sets(bench)["dilm"], real_sets(bench)["distribution_matching"], strict=False):
        assert ours.counts == real.counts == (3, 3) and set(real) <= set(bench.splits.train)
    texts, asked = pool(bench, "dilm", 0), DistributionMatching([bench.encoder], bench.splits.train)
    drawn = [Random()(texts, 3, np.random.default_rng(seed)).apply(texts) for seed in range(20)]
    followed = asked(texts, 3, np.random.default_rng(0)).apply(texts)

    def away(rows: Dataset) -> float:
        real = [train[np.array(bench.splits.train.labels) == label].mean(axis=0) for label in bench.task.conditions]
        ours = [bench.encoder.encode(rows.of(label)).mean(axis=0) for label in bench.task.conditions]
        return float(np.linalg.norm(np.array(ours) - real))

    assert away(followed) < min(map(away, drawn))


def test_a_fine_tuned_learner_can_be_the_teacher(copied: Path):
    _, facts = selected(copied, select__filters=["sure:0.5"], select__teacher="learner", evaluate__full_steps=6)
    assert [tallies["sure:0.5"]["removed"]["thumbs up"] for tallies in facts["filters"]["dilm"]] == [4, 4]


def test_pairs_are_refused_before_anything_is_trained(copied: Path):
    run = api.change_settings(api.existing_run(copied), {"select.filters": ["pairs"]})
    for stage in (load.run, lambda bench: pipeline.run_stage(bench, "select")):
        with pytest.raises(RecipeError, match="compares two fields"):
            stage(Bench(run, OWN_CODE))


def test_raced_sets_tell_their_race_and_train_nothing_twice(copied: Path, monkeypatch: pytest.MonkeyPatch):
    run, facts = selected(copied, select__method="raced", race__drawn_by=["random"], evaluate__baselines=["untuned"])
    race = facts["races"]["dilm"][0]
    assert [list(round) for round in race["rounds"]] == [[3, 2]] and race["trainings"] == 6
    assert set(race["sd"]) == {"sets", "seeds", "rest"}
    assert 0 <= race["worth"] <= 1 and race["error"] >= 0
    before = {file.name: file.read_text("utf-8") for file in (copied / "select").glob("*.jsonl")}
    (copied / "select" / "manifest.json").unlink()
    monkeypatch.setattr(jobs, "_run", lambda job: pytest.fail("trained again"))
    api.run_stage(run, "select")
    assert before == {file.name: file.read_text("utf-8") for file in (copied / "select").glob("*.jsonl")}


def test_real_rows_in_the_pool_are_marked_and_counted(copied: Path):
    run, facts = selected(
        copied, select__pool=BOTH, select__method="random", evaluate__baselines=["untuned", "untuned_random"]
    )
    train = {row.texts for row in Bench(run, OWN_CODE).splits.train}
    api.run_stage(run, "evaluate")
    api.report(copied)
    product = Distilled.load(copied / "distilled")
    real = product.provenance.real_rows
    assert list(real) == facts["real"]["dilm"][0] == [at for at, row in enumerate(product) if row.texts in train] != []
    assert facts["real"]["untuned_random"] == [[], []]
    said = f"{len(real)} of 6 rows are real rows of the training data"
    assert said in product.card and "found" in product.card and "wrote every text" not in product.card
    assert said in (copied / "report.html").read_text("utf-8")
