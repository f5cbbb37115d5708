"""The whole road of a task whose target is text, from a CSV file to a report; and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_runs import SAID, SHORT
from tiny_runs import SETTINGS, rows_of

from dilm import api, journal, pipeline, reading
from dilm.data.jsonl import read_dataset
from dilm.distilled import Distilled
from dilm.errors import AccessError, DilmError, RecipeError
from dilm.recipe import Recipe
from dilm.recipe.fields import counted


@pytest.fixture(scope="module")
def made(answers: Path, tmp_path_factory: pytest.TempPathFactory) -> Distilled:
    """The product of the whole road. Only to be read."""
    return api.distill(answers, out=tmp_path_factory.mktemp("runs") / "texts", settings=SETTINGS | SHORT, **SAID)


def test_the_product_has_inputs_and_targets_of_every_condition(made: Distilled):
    assert made.task.writes and made.task.fields == ("ask", "say") and made.data.counts == (2, 2)
    assert all(all(row.texts) for row in made)
    assert set(pipeline.states(api.existing_run(made.run)).values()) == {"done"}
    assert Distilled.load(made.run / "distilled").task == made.task


def test_scores_are_perplexities_and_say_what_was_written(made: Distilled):
    rows = rows_of(made.run)
    assert {row["method"] for row in rows} == {"dilm", "random", "random@tokens", "perplexity", "el2n", "full"}
    for row in rows:
        assert row["metric"] == "perplexity" and row["value"] > 1 and row["macro_f1"] is None
        assert 0 <= row["accuracy"] <= 1 and {"bleu", "chrf", "distinct_2", "set_tokens"} <= set(row["measures"])
    sizes = {row["measures"]["set_tokens"] for row in rows if row["method"] == "full"}
    assert sizes and min(sizes) > max(row["measures"]["set_tokens"] for row in rows if row["method"] == "dilm")


def test_equal_tokens_are_equal_but_for_half_a_row(made: Distilled):
    """The number of rows is the one that comes nearest; one is always there."""
    bench = api.begun.bench_of(api.existing_run(made.run), journal.OWN_CODE)
    train = bench.splits.train
    positions = json.loads((made.run / "select" / "real-rows.json").read_text("utf-8"))["random@tokens"]
    for number, rows in enumerate(positions):
        ours = read_dataset(made.run / "select" / f"dilm-{number}.jsonl", made.task)
        for condition in made.task.conditions:
            spent = sum(bench.tokens(train.take(rows).of(condition)))
            gap = sum(bench.tokens(ours.of(condition))) - spent
            assert abs(gap) <= max(bench.tokens(train)) / 2 or len(train.take(rows).of(condition)) == 1


def test_every_term_of_the_objective_is_told(made: Distilled):
    curve = api.existing_run(made.run).stage("match").manifest["curve"]
    told = [row for row in curve if "similarity" in row]
    assert told and all(0 <= row["diversity"] <= 1 and "coherence" in row and row["coverage"] <= 1 for row in told)
    assert all(0 < row["dev_score"] < 1 for row in curve if "dev_score" in row)


def test_what_is_kept_lies_in_the_cluster_that_it_was_written_for(made: Distilled):
    """Real rows all do; of the written ones the manifest counts those that did not."""
    bench = api.begun.bench_of(api.existing_run(made.run), journal.OWN_CODE)
    assert bench.clusters
    train, pool = bench.splits.train, read_dataset(made.run / "generate" / "dilm-0.jsonl", made.task)
    assert (bench.clusters.distances(train).argmin(1) == train.labels).all()
    inside = bench.clusters.distances(pool).argmin(1) == np.array(pool.labels)
    told = api.existing_run(made.run).stage("select").manifest["filters"]["dilm"][0]["covered"]
    assert sum(told["removed"].values()) + sum(told["yielded"].values()) == (~inside).sum()
    if not any(told["yielded"].values()):
        assert (bench.clusters.distances(made.data).argmin(1) == made.data.labels).all()


def test_clusters_are_made_of_train_rows_and_handed_out_as_these(made: Distilled):
    bench = api.begun.bench_of(api.existing_run(made.run), journal.FINDINGS)
    with pytest.raises(AccessError, match="asks for train rows"):
        _ = bench.clusters


def test_keys_of_runs_that_knew_no_coverage_stay(answers: Path):
    asked = {name: value for name, value in SHORT.items() if name != "generation.coverage"}
    recipe = api.recipe_for(answers, **SAID, settings=SETTINGS | asked)
    assert "coverage" not in str(reading.terms(recipe)) and "coverage" not in counted(recipe)["generation"]
    covering = api.recipe_for(answers, **SAID, settings=SETTINGS | SHORT)
    before, after = pipeline.keys(recipe), pipeline.keys(covering)
    assert before["fit"] == after["fit"] and before["match"] != after["match"]
    assert "generation" not in counted(Recipe())


def test_page_table_and_card_read_well(made: Distilled):
    table = (made.run / "results.md").read_text("utf-8")
    assert "perplexity" in table and "accuracy of tokens" in table and "equal tokens" in table
    assert "less is better" in (made.run / "report.html").read_text("utf-8")
    assert "text-generation" in made.card and "Conditions:" in made.card and "2 examples per condition" in made.card
    plan = {row["stage"]: row for row in api.plan(api.existing_run(made.run))}
    assert plan["evaluate"]["seconds"] > 0


@pytest.mark.parametrize(
    ("settings", "error", "problem"),
    [
        ({"evaluate.learners": ("tfidf",)}, RecipeError, "cannot write a text"),
        ({"evaluate.baselines": ("tdd_text",)}, RecipeError, "needs classes"),
        ({"select.method": "validated"}, RecipeError, "needs classes"),
        ({"match.gradient": "head", "match.centred": True}, RecipeError, "match.centred"),
        ({"select.filters": ("answer",)}, RecipeError, "how those of answers are checked"),
        ({"data.label": "kind", "select.filters": ("covered",)}, RecipeError, "a column names the conditions"),
    ],
)
def test_what_needs_classes_is_refused_when_rows_are_read(
    answers: Path, tmp_path: Path, settings: dict[str, Any], error: type[DilmError], problem: str
):
    recipe = api.recipe_for(answers, **SAID, settings=SETTINGS | SHORT | settings)
    with pytest.raises(error, match=problem):
        api.run_stage(api.open_run(recipe, tmp_path / "run"), "load")


def test_what_needs_a_target_is_refused_where_there_are_classes(source: Path, tmp_path: Path):
    for number, asked in enumerate(
        ({"evaluate.baselines": ("perplexity",)}, {"select.filters": ("covered",)}, {"generation.coverage": 0.1})
    ):
        recipe = api.recipe_for(source, text="review", label="stars", settings=asked)
        with pytest.raises(RecipeError, match="has classes"):
            api.run_stage(api.open_run(recipe, tmp_path / str(number)), "load")


def test_the_product_is_a_prompt_that_ends_where_a_target_belongs(made: Distilled):
    prompt = made.prompt("fox red 3")
    assert prompt.endswith("ask: fox red 3\nsay:") and all(row.texts[-1] in prompt for row in made)
    with pytest.raises(DilmError, match="1 texts"):
        made.prompt("one", "two")
