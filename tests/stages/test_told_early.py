"""What is amiss is told when rows are read, and what is refused changes nothing."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import SETTINGS, START

from dilm import api, pipeline
from dilm.build import Bench
from dilm.distilled import Distilled
from dilm.errors import AccessError, DataError, ModelError, RecipeError, ResourceError, RunError
from dilm.journal import OWN_CODE
from dilm.recipe import Recipe
from dilm.recipe.book import override
from dilm.searching import spaces, tuning
from dilm.stages.dev_scores import unraced

NOWHERE = "no-such/model"


def begun(source: Path, folder: Path, **settings: Any) -> None:
    said = SETTINGS | {name.replace("__", "."): value for name, value in settings.items()}
    api.load(source, out=folder, settings=said, **START)


def refused(run: Path, name: str, settings: dict[str, Any]) -> str:
    """What is said, and that the run is what it was."""
    recipe, states = (run / "recipe.yaml").read_bytes(), pipeline.states(api.existing_run(run))
    with pytest.raises((RunError, DataError, AccessError)) as told:
        api.run_stage(api.with_settings(api.existing_run(run), settings), name)
    assert (run / "recipe.yaml").read_bytes() == recipe
    assert pipeline.states(api.existing_run(run)) == states
    assert api.verify(run)["faults"] == []
    return str(told.value)


def test_a_refused_setting_is_not_written_down(copied: Path):
    assert "needs 'generate'" in refused(copied, "select", {"per_class": 2})
    with pytest.raises((ModelError, ResourceError), match=r"^match\.learners: "):
        api.run_stage(api.with_settings(api.existing_run(copied), {"match.learners": ["same", NOWHERE]}), "match")
    assert pipeline.states(api.existing_run(copied))["match"] == "done"
    api.quota(copied, texts=1)
    assert "left of the quota" in refused(copied, "generate", {"per_class": 2, "select.sets": 3})


def test_who_finds_the_folder_taken_changes_nothing_there(copied: Path):
    with api.existing_run(copied).locked():
        assert "Another process" in refused(copied, "select", {"select.method": "random"})
        with pytest.raises(RunError, match="Another process"):
            api.change_settings(api.existing_run(copied), {"select.method": "random"})


def test_a_setting_of_a_stage_that_is_run_or_done_is_written_down(copied: Path):
    for name, value in (("select.method", "random"), ("runtime.workers", 2)):
        api.run_stage(api.with_settings(api.existing_run(copied), {name: value}), "select")
        assert f"{name.split('.')[1]}: {value}" in (copied / "recipe.yaml").read_text("utf-8")
    assert api.verify(copied)["faults"] == []


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"evaluate.learners": ["tfidf", f"frozen:{NOWHERE}"]}, "evaluate.learners"),
        ({"evaluate.learners": ["first-3:tfidf"]}, "evaluate.learners"),
        ({"match.learners": ["same", NOWHERE]}, "match.learners"),
        ({"models.encoder": NOWHERE}, "models.encoder"),
        ({"models.mixture": [NOWHERE]}, "models.mixture"),
        ({"rewrite.model": NOWHERE, "rewrite.texts": 1}, "rewrite.model"),
        ({"report.language_model": NOWHERE}, "report.language_model"),
    ],
)
def test_a_model_that_is_nowhere_is_told_of_with_its_setting(
    source: Path, tmp_path: Path, settings: dict[str, Any], setting: str
):
    with pytest.raises((ModelError, ResourceError), match=f"^{setting}: "):
        api.load(source, out=tmp_path / "run", settings=SETTINGS | settings, **START)
    recipe = api.recipe_for(source, settings=SETTINGS | settings, **START)
    with pytest.raises((ModelError, ResourceError), match=f"^{setting}: "):
        api.plan(recipe)


def test_more_layers_than_a_model_has(source: Path, tmp_path: Path, finished: Distilled):
    learner = str(Path(finished.run or "") / "pretrain" / "learner")
    for named in (f"first-9:{learner}", "first-9:same"):
        with pytest.raises(ModelError, match=r"^evaluate\.learners: .* its first 9 were asked"):
            begun(source, tmp_path / "run", models__learner=learner, evaluate__learners=[named])


def test_no_row_is_as_short_as_texts_may_be(source: Path, tmp_path: Path):
    said = "Texts may have 2 tokens, and every row of class 'thumbs down' has sentences of 3 words"
    with pytest.raises(RecipeError, match=said):
        begun(source, tmp_path / "run", models__max_tokens=2)
    begun(source, tmp_path / "run", models__max_tokens=3)


def test_a_plan_refuses_what_load_refuses(source: Path):
    for settings in ({"select.filters": ["pairs"]}, {"select.filters": ["fluency:0.5"]}):
        with pytest.raises(RecipeError):
            api.plan(api.recipe_for(source, settings=SETTINGS | settings, **START))


def test_rules_that_are_not_there_are_missed_whatever_was_found_before(source: Path, tmp_path: Path):
    replaced = {"anonymize__operator": "replace", "anonymize__languages": ()}
    (tmp_path / "rules.yaml").write_text("deny: [plot]\n", encoding="utf-8")
    begun(source, tmp_path / "one", **replaced, anonymize__patterns=str(tmp_path / "rules.yaml"))
    missing = str(tmp_path / "ruls.yaml")
    with pytest.raises(RecipeError, match="no file of rules"):
        begun(source, tmp_path / "two", **replaced, anonymize__patterns=missing)
    for name, value in {"patterns": missing, "ner": "x", "kinds": ("PERSON",)}.items():
        with pytest.raises(RecipeError, match=f"anonymize.{name} says what to look for"):
            begun(source, tmp_path / "three", **{f"anonymize__{name}": value})


def test_races_leave_rows_to_score_on_or_say_so(copied: Path):
    run = api.change_settings(api.existing_run(copied), {"race.rows": 5})
    dev = Bench(run, OWN_CODE).splits.dev
    assert len(unraced(Bench(run, OWN_CODE))) == len(dev) - 5
    greedy = api.change_settings(run, {"race.rows": len(dev)})
    with pytest.raises(RecipeError, match=f"all {len(dev)} dev rows"):
        unraced(Bench(greedy, OWN_CODE))


def test_a_search_whose_races_leave_no_row_is_refused_at_once(source: Path, tmp_path: Path):
    settings = SETTINGS | {"data.source": str(source), "data.text": "review", "data.label": "stars", "race.rows": 10**6}
    space = {"select.method": {"choices": ["raced", "typical"]}}
    with pytest.raises(RecipeError, match="none is left to score"):
        api.search("toy", space, trials=1, out=tmp_path / "search", settings=settings)
    assert not (tmp_path / "search" / "trials").exists()


def test_only_what_trials_may_be_decides_whether_any_races():
    raced = override(Recipe(), {"select.method": "raced"})
    for recipe, choices, races in (
        (Recipe(), ["typical", "raced"], True),
        (raced, ["typical", "random"], False),
        (raced, None, True),
        (Recipe(), None, False),
    ):
        tree = {"select.method": {"choices": choices}} if choices else {"fit.steps": {"choices": [1, 2]}}
        assert tuning.Search(recipe, spaces.of(tree, recipe), Path("out"), 1).races is races


def test_resuming_on_another_machine_leaves_the_recipe_as_it_was(copied: Path, again: Callable[..., Distilled]):
    before = (copied / "recipe.yaml").read_bytes()
    again(copied, resume=True, settings={"runtime.workers": 3})
    assert (copied / "recipe.yaml").read_bytes() == before


def test_a_benchmark_reads_all_its_tasks_first(source: Path, tmp_path: Path):
    (tmp_path / "broken.csv").write_text("stars,review\nup,\n", encoding="utf-8")
    suite = tmp_path / "suite.yaml"
    suite.write_text(f"tasks: [{source}, {tmp_path / 'broken.csv'}]\nsizes: [2]\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"broken\.csv"):
        api.benchmark(str(suite), tmp_path / "out", text="review", label="stars", settings=SETTINGS)
    made = sorted(file.parent.name for file in tmp_path.glob("out/*/*/manifest.json"))
    assert made == ["load"]
    for written, match in (("tasks: [toy]\nsizes: many\n", "sizes: "), ("- toy\n", "it holds a list")):
        suite.write_text(written, encoding="utf-8")
        with pytest.raises(RecipeError, match=match) as told:
            api.benchmark(str(suite), tmp_path / "out")
        assert "pydantic" not in str(told.value) and "::" not in str(told.value)


def test_a_file_where_a_folder_is_meant(source: Path, finished: Distilled, tmp_path: Path):
    for call in (
        lambda: begun(source, source),
        lambda: finished.save(source),
        lambda: api.search("toy", {"fit.steps": {"choices": [1, 2]}}, trials=1, out=source),
    ):
        with pytest.raises(RunError, match="is a file, and a folder is meant"):
            call()
    with pytest.raises(RunError, match="cannot be made"):
        begun(source, source / "below")
    with pytest.raises(DataError, match="not a list"):
        api.recipe_for(["a text"])  # type: ignore[arg-type]


def test_columns_that_are_told_of_are_those_of_the_file(tmp_path: Path):
    def told(rows: list[list[str]], **names: str) -> str:
        file = tmp_path / "asked.csv"
        with file.open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows([["question", "answer"], *rows])
        with pytest.raises(DataError) as fault:
            api.load(file, out=tmp_path / "run", text="question", target="answer", settings=SETTINGS, **names)
        return str(fault.value)

    numbers = told([[f"how many of {at}", str(at)] for at in range(40)])
    assert "'answer' of asked.csv holds numbers" in numbers and "condition" not in numbers
    empty = told([[f"who is {at}", "nobody" if at else ""] for at in range(40)])
    assert "(columns question, answer; row 2)" in empty
    file = tmp_path / "scored.csv"
    file.write_text("question,reply\nwho is it,nobody\n", encoding="utf-8")
    missing = told([[f"who is {at}", "nobody"] for at in range(40)], test=str(file))
    assert "scored.csv has no column 'answer'" in missing and "condition" not in missing
    twice = told([[f"who is {at}", "nobody"] for at in range(40)], label="answer")
    assert "'answer' has two roles" in twice


def test_a_space_that_is_none_is_not_printed(source: Path, tmp_path: Path):
    with pytest.raises(RecipeError, match="settings by name, found a str") as told:
        api.search("toy", str(source), trials=1, out=tmp_path / "search")
    assert len(str(told.value)) < 300
