"""`select.packed` on a finished run: what the sets, the audit, the learners and the product make of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dilm import api
from dilm.build import Bench
from dilm.distilled import Distilled
from dilm.errors import RecipeError
from dilm.evaluation.finetune import Finetuned
from dilm.journal import OWN_CODE
from dilm.models.classifier import Classifier
from dilm.models.linear import FrozenFeatures
from dilm.reading import sharing
from dilm.recipe import Recipe
from dilm.recipe.book import override
from dilm.recipe.rules import check
from dilm.schedules import trial_schedule
from dilm.stages.generate import pool
from dilm.stages.select import real_sets, released_texts, synthetic_sets
from dilm.stages.students import enrol, enrolled, student
from dilm.types import GENERATION, Dataset, Example, Task

TEXTS = 2
AMOUNTS = ["random", "random@packed", "random@tokens", "untuned", "untuned_random"]


@pytest.fixture
def packed(copied: Path) -> Bench:
    """A run with two texts in each of its examples, up to its sets."""
    run = api.change_settings(
        api.existing_run(copied), {"select.packed": TEXTS, "evaluate.baselines": AMOUNTS, "select.method": "random"}
    )
    api.run_stage(run, "select")
    return Bench(run, OWN_CODE)


def parts(rows: Dataset) -> list[str]:
    return [row.texts[0] for row in rows]


def test_an_example_of_ours_is_several_texts_of_the_pool(packed: Bench):
    texts = released_texts(packed)
    assert texts.counts == (6, 6) and set(texts) <= set(pool(packed, "dilm", 0))
    ours = synthetic_sets(packed)["dilm"][0]
    assert ours.counts == (3, 3)
    for at, example in enumerate(ours):
        one, other = parts(texts)[TEXTS * at : TEXTS * (at + 1)]
        assert example.texts[0].startswith(one.rstrip()) and example.texts[0].endswith(other.lstrip())
    alone = set(pool(packed, "untuned", 0))
    for name in ("untuned", "untuned_random"):
        made = synthetic_sets(packed)[name][0]
        assert made.counts == (3, 3) and not set(made) & alone


def test_real_rows_can_be_given_as_much(packed: Bench):
    train, found = set(packed.splits.train), real_sets(packed)
    assert set(found["random"][0]) <= train and found["random"][0].counts == (3, 3)
    assert not set(found["random@packed"][0]) & train and found["random@packed"][0].counts == (3, 3)
    assert set(found["random@tokens"][0]) <= train
    longest = max(packed.tokens(packed.splits.train))
    for ours, theirs in zip(synthetic_sets(packed)["dilm"], found["random@tokens"], strict=True):
        assert len(set(theirs.counts)) == 1
        assert abs(sum(packed.tokens(ours)) - sum(packed.tokens(theirs))) <= longest


def test_learners_read_whole_examples_and_matching_reads_texts(packed: Bench):
    assert packed.task.longest_example == TEXTS * packed.task.max_tokens == 48
    taught = student(enrolled(packed)[0], packed.task, trial_schedule(packed.recipe), 8, packed.recipe.runtime)
    longer = [Example(("good " * words,), 0) for words in range(1, 200)]
    wordy = Dataset(packed.task, longer[-1:])
    assert isinstance(taught, Finetuned) and isinstance(taught.learner, Classifier)
    assert taught.learner.lengths(wordy) == packed.tokens(wordy) == [48]
    assert packed.classifier().lengths(wordy) == [24]
    frozen = student(enrol(packed, "frozen"), packed.task, None, 8, packed.recipe.runtime)
    assert isinstance(frozen, FrozenFeatures)
    middling = next(row for row in longer if 24 < packed.tokens(Dataset(packed.task, [row]))[0] < 48)
    one, other = (frozen.encoder.encode([row]) for row in (wordy[0], middling))
    assert np.any(one != other), "it has read on"
    one, other = (packed.encoder.encode([row]) for row in (wordy[0], middling))
    assert np.all(one == other), "a text at a time"


def test_product_page_and_audit_say_what_an_example_is(packed: Bench):
    folder = packed.run.folder
    api.distill_run(packed.run)
    product = Distilled.load(folder / "distilled")
    assert product.task.packed == TEXTS and len(product) == 6
    assert "2 for each example, one after the other" in product.card
    page = (folder / "report.html").read_text("utf-8")
    assert "Each example holds 2 of them" in page and "random@packed" in page
    told = json.loads((folder / "audit" / "audit.json").read_text("utf-8"))
    assert told["rows"]["released texts"] == 12, "a copy inside an example is found, too"


def test_real_rows_inside_examples_are_counted(copied: Path):
    settings = {"select.packed": TEXTS, "select.pool": "both", "select.method": "random"}
    run = api.change_settings(api.existing_run(copied), settings)
    facts = api.run_stage(run, "select")
    bench = Bench(run, OWN_CODE)
    train, texts = set(bench.splits.train), released_texts(bench)
    holding = [at for at in range(6) if train & set(texts[TEXTS * at : TEXTS * (at + 1)])]
    assert facts["real"]["dilm"][0] == holding != []


@pytest.mark.parametrize(("words", "texts"), [(1, 4), (25, 4), (26, 3), (50, 2), (51, 1), (900, 1)])
def test_left_to_the_length_of_rows_an_example_has_about_a_hundred_words(words: int, texts: int):
    rows = Dataset(Task("t", ("text",), ("a", "b")), [Example(("word " * words,), at % 2) for at in range(44)])
    asked = override(Recipe(), {"select.packed": 0, "per_class": 2})
    assert sharing(asked, rows) == texts
    assert sharing(override(asked, {"per_class": 5}), rows) == min(texts, 4), "there are 22 of each class"
    assert sharing(override(asked, {"generate.oversample": 2}), rows) == min(texts, 2)
    assert sharing(asked, Dataset(replace(rows.task, kind=GENERATION, target="text"), rows)) == 1


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"select.packed": -1}, "select.packed should be 0 or more"),
        ({"select.packed": 5, "generate.oversample": 4}, "puts 5 texts into an example, and generate.oversample"),
        ({"evaluate.baselines": ["random@packed"]}, "our own examples hold one text each"),
        ({"select.packed": 2, "select.method": "raced"}, "`raced` takes every text for an example"),
        ({"select.packed": 0, "evaluate.baselines": ["nearest"]}, "`nearest` takes every text for an example"),
        ({"select.packed": 2, "evaluate.robust": True}, "`evaluate.robust` takes every text for an example"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, object], match: str):
    with pytest.raises(RecipeError, match=match):
        check(override(Recipe(), settings))
