"""Recipes: what is written can be read, what is misspelt is answered, and every bundled one is valid."""

from __future__ import annotations

import dataclasses
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dilm.errors import RecipeError
from dilm.recipe import Recipe, book, rules
from dilm.recipe.fields import flatten, leaves
from dilm.recipe.ranges import RANGES
from dilm.recipe.rules import CHOICES

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
VALUES: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(-(10**12), 10**12),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    str: TEXTS,
}


@st.composite
def any_recipe(draw: st.DrawFn) -> Recipe:
    """A recipe with a few settings replaced by values of the right type, sensible or not."""
    chosen = draw(st.lists(st.sampled_from(sorted(leaves())), max_size=6, unique=True))
    strategies = {
        name: VALUES.get(leaves()[name].annotation, st.lists(TEXTS, max_size=3).map(tuple)) for name in chosen
    }
    return book.override(Recipe(), {name: draw(each) for name, each in strategies.items() if each is not TEXTS})


def written(tmp_path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@settings(max_examples=25, deadline=None)
@given(recipe=any_recipe(), source=TEXTS, texts=st.lists(TEXTS, max_size=3))
@example(recipe=Recipe(), source="\x85", texts=["a\u2028b"])  # line breaks to Python and to YAML, not to print
@pytest.mark.parametrize("comments", [True, False])
def test_what_is_written_is_read(tmp_path_factory, recipe: Recipe, source: str, texts: list[str], comments: bool):
    recipe = replace(recipe, data=replace(recipe.data, source=source, text=tuple(texts)))
    path = tmp_path_factory.mktemp("recipe") / "it.yaml"
    path.write_text(book.to_yaml(recipe, comments), encoding="utf-8")
    assert book.read(path) == recipe


@pytest.mark.parametrize("name", book.names())
def test_bundled_recipe_is_valid_and_introduces_itself(name: str):
    book.check(book.read(name))
    assert book.headline(name).endswith(".")
    assert "#     dilm distill " in (book.BUNDLED / f"{name}.yaml").read_text("utf-8")


def test_bundled_names():
    papers = ["paper-mnli", "paper-qqp", "paper-sst2"]
    private = ("private", "private-generation", "private-toy")
    assert book.names() == ["default", "generation", *papers, *private, "toy", "toy-generation"]
    assert book.read("default") == Recipe()


@pytest.mark.parametrize("name", ["paper-sst2", "paper-qqp", "paper-mnli"])
def test_paper_recipes_hold_the_papers_numbers(name: str):
    found = flatten(book.read(name))
    paper = {
        "models.generator": "gpt2",
        "models.learner": "bert-base-uncased",
        "fit.steps": 80_000,
        "fit.lr": 1e-5,
        "match.steps": 20_000,
        "match.lr": 3e-7,
        "match.likelihood": "padded",
        "match.trajectory": "fresh",
        "match.ages": 10,
        "match.age_steps": 20,
        "match.refresh_every": 200,
        "match.teacher_sets": 10,
        "generate.oversample": 100,
        "generate.top_p": 0.95,
        "select.sets": 20,
        "evaluate.seeds": 5,
        "evaluate.steps": 200,
        "evaluate.warmup": 0.5,
    }
    assert {setting: found[setting] for setting in paper} == paper


@pytest.mark.parametrize("name", sorted(path.stem for path in book.BUNDLED.glob("paper-*")))
def test_each_number_of_a_paper_recipe_stands_beside_the_papers(name: str):
    for line in (book.BUNDLED / f"{name}.yaml").read_text("utf-8").splitlines():
        value = line.partition("#")[0].partition(":")[2].strip()
        if value[:1].isdigit():
            assert "# paper" in line or "# ours" in line, line


def test_every_number_has_a_range_and_every_range_a_setting():
    ranged = [name for rule in RANGES for name in rule.settings.split()]
    numbers = [name for name, field in leaves().items() if field.annotation in (int, float)]
    assert sorted(ranged) == sorted(numbers)
    assert set(CHOICES) <= set(leaves())


def test_choices_are_those_of_the_machine():
    from dilm.runtime.device import PRECISIONS

    assert CHOICES["runtime.precision"] == PRECISIONS


def test_every_section_is_explained():
    for section in fields(Recipe):
        kind = type(getattr(Recipe(), section.name))
        if is_dataclass(kind):
            assert kind.__doc__ and f"# {kind.__doc__}" in book.to_yaml(Recipe())


def test_a_section_without_settings_is_all_defaults(tmp_path):
    assert book.read(written(tmp_path, "fit:\n  # steps: 3\nseed: 4\n")) == Recipe(seed=4)
    assert book.read(written(tmp_path, "")) == Recipe()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fit: {step: 3}", "Did you mean `fit.steps`?"),
        ("fot: {}", "'fot' is not a setting"),
        ("match: {temprature: 2}", "Did you mean `match.temperature`?"),
        ("fit: {steps: many}", "fit.steps should be a whole number, found 'many'"),
        ("fit: {clip: high}", "fit.clip should be a number, found 'high'"),
        ("data: {text: review}", "data.text should be a list of texts, found 'review'"),
        ("data: {drop_empty: maybe}", "data.drop_empty should be true or false"),
        ("fit: 3", "'fit' should be a section of settings, found 3"),
        ("- 1", "should hold settings by name, found a list"),
        ("a: [", "is not readable YAML"),
        ("seed: 1\nseed: 2", "line 2: 'seed' stands here a second time"),
        ("fit: {steps: 1, steps: 2}", "'steps' stands here a second time"),
    ],
)
def test_a_wrong_file_is_told_what_is_wrong(tmp_path, text: str, said: str):
    with pytest.raises(RecipeError) as told:
        book.read(written(tmp_path, text))
    assert said in str(told.value)
    assert told.value.remedy


def test_a_file_that_is_not_text_is_told_so(tmp_path):
    (tmp_path / "it.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not readable YAML"):
        book.read(tmp_path / "it.yaml")


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(RecipeError, match="Did you mean `paper-sst2`"):
        book.read("paper-sst")


def test_override_reads_texts_as_a_command_line_does():
    wanted = {
        "fit.steps": "300",
        "fit.lr": "1e-4",
        "data.text": "question1, question2",
        "evaluate.baselines": "[random, full]",
        "data.drop_empty": "true",
        "data.label": "123",
        "seed": "7",
    }
    made = book.override(Recipe(), wanted)
    assert (made.fit.steps, made.fit.lr, made.seed, made.data.drop_empty) == (300, 1e-4, 7, True)
    assert made.data.text == ("question1", "question2")
    assert made.evaluate.baselines == ("random", "full")
    assert made.data.label == "123"


def test_override_changes_nothing_else():
    made = book.override(Recipe(), {"fit.steps": 321})
    assert book.differences(Recipe(), made) == [f"fit.steps: {Recipe().fit.steps} -> 321"]
    assert book.override(Recipe(), {}) == Recipe()


@pytest.mark.parametrize(
    ("name", "said"), [("fit", "It is a section"), ("steps", "Did you mean"), ("qqq", "dilm show")]
)
def test_override_refuses_unknown_names(name: str, said: str):
    with pytest.raises(RecipeError, match=said):
        book.override(Recipe(), {name: "1"})


def test_differences_leave_out_what_changes_no_result():
    quick = book.override(Recipe(), {"runtime.threads": 1, "server.budget": 5, "server.key_variable": "MY_KEY"})
    assert quick != Recipe() and book.differences(Recipe(), quick) == []


def test_only_gradients_of_the_head_are_centred():
    with pytest.raises(RecipeError, match=r"match\.centred"):
        book.check(book.override(Recipe(), {"match.centred": True, "match.gradient": "last:1"}))


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("match.gradient", "last", "last:N"),
        ("match.gradient", "lora:0", "adapters of rank R"),
        ("fit.steps", 0, "would not know what the tokens"),
        ("match.steps", -1, "0 or more"),
        ("match.temperature", 0.0, "above 0"),
        ("generate.top_p", 0.0, "at most 1"),
        ("generate.top_p", float("nan"), "at most 1"),
        ("fit.clip", float("inf"), "above 0"),
        ("evaluate.warmup", 1.5, "from 0 to 1"),
        ("match.check_every", 30, "Set it to 20 or 40"),
        ("select.method", "hering", "Did you mean `herding`"),
        ("evaluate.baselines", ("randon",), "Did you mean `random`"),
        ("select.filters", ("agre",), "Did you mean `agree`"),
        ("select.filters", ("agree", "word:10"), "Did you mean `words`"),
        ("select.filters", ("agree:0.5",), "takes no number"),
        ("select.filters", ("words",), "Write `words:10`"),
        ("select.filters", ("sure:1.5",), "at most 1"),
        ("select.filters", ("repetition:nan",), "from 0 to 1"),
        ("select.filters", ("agree", "agree"), "twice"),
        ("select.pool", "real", "synthetic, both"),
        ("select.teacher", "leaner", "Did you mean `learner`"),
        ("race.candidates", 1, "at least 2"),
        ("race.seeds", 1, "at least 2"),
        ("race.drawn_by", (), "at least `typical`"),
        ("race.drawn_by", ("raced",), "does not know 'raced'"),
        ("match.likelihood", "mean", "token, sum, padded"),
        ("models.generator", "scratch", "scratch:small"),
        ("models.generator", "scratch:huge", "scratch:base"),
        ("models.learner", "scratch:small", "pretrain.learner_size"),
        ("evaluate.learners", (), "at least `same`"),
        ("evaluate.learners", ("same", "same"), "twice"),
        ("evaluate.learners", ("first-0:same",), "first-3:NAME"),
        ("evaluate.learners", ("frozen:",), "frozen:NAME"),
        ("evaluate.learners", ("prompt:same",), "prompt:NAME"),
        ("evaluate.learners", ("served:localhost#m",), "served:URL#MODEL"),
        ("evaluate.learners", ("frozen:scratch:mini",), "pretrain.learner_size"),
        ("prompt.orders", 0, "at least 1"),
        ("prompt.context", 100, "at least 256"),
        ("server.timeout", 0, "above 0"),
        ("server.budget", 0, "at least 1"),
    ],
)
def test_check_names_setting_and_remedy(setting: str, value: object, said: str):
    with pytest.raises(RecipeError, match=said):
        book.check(book.override(Recipe(), {setting: value}))


def test_a_key_in_the_place_of_its_variable_is_not_repeated():
    with pytest.raises(RecipeError, match="name of an environment variable") as told:
        book.check(book.override(Recipe(), {"server.key_variable": "sk-very-secret"}))
    assert "secret" not in str(told.value)


def test_a_column_is_not_both_text_and_label():
    with pytest.raises(RecipeError, match="both text and label"):
        book.check(book.override(Recipe(), {"data.text": "a,b", "data.label": "b"}))


def test_real_rows_and_a_wish_for_privacy_exclude_each_other(monkeypatch: pytest.MonkeyPatch):
    """Whatever section says it; `server` stands for one here."""
    both = book.override(Recipe(), {"select.pool": "both", "server.budget": 7})
    book.check(both)
    monkeypatch.setattr(rules, "PRIVATE", ("server",))
    with pytest.raises(RecipeError, match="`server` wishes for privacy"):
        book.check(both)
    book.check(replace(both, select=Recipe().select))


def test_zero_keeps_the_last_matching_step():
    book.check(book.override(Recipe(), {"match.check_every": 0, "match.steps": 0}))


def test_yaml_is_plain_yaml():
    tree = yaml.safe_load(book.to_yaml(Recipe()))
    assert list(tree) == [field.name for field in dataclasses.fields(Recipe)]
