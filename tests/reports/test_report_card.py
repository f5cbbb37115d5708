"""The card: metadata that the hub can read, and Markdown that data cannot bend."""

from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.reports import card
from dilm.types import Dataset, Example, Provenance, Task


def front(text: str) -> dict:
    _, matter, _ = text.split("---\n", 2)
    return yaml.safe_load(matter)


def test_metadata_names_licence_task_tags_size_and_file(findings):
    meta = front(card.render(findings(), file="data/set 0.jsonl"))
    assert meta["license"] == "other"
    assert meta["task_categories"] == ["text-classification"]
    assert {"dataset-distillation", "synthetic", "dilm"} <= set(meta["tags"])
    assert meta["size_categories"] == ["n<1K"]
    assert meta["configs"][0]["data_files"] == [{"split": "train", "path": "data/set 0.jsonl"}]


def test_the_card_tells_results_privacy_limits_and_how_to_load(findings):
    text = card.render(findings())
    for expected in (
        "# films, distilled to 2 examples per class",
        "Classes: negative, positive.",
        "| **DiLM (this run)** | **78.0 %** |",
        "none: real rows were used without a privacy mechanism.",
        "## Limitations",
        'load_dataset("json", data_files="distilled.jsonl", split="train")',
        "maekawa-etal-2024-dilm",
        "- Full data was scored once.",
    ):
        assert expected in text
    assert text.startswith("---\n") and "{{" not in text


def test_a_set_that_was_not_measured_claims_nothing(findings):
    text = card.render(findings(bars=(), scores=()))
    assert "how well these examples train a model is unknown" in text
    assert "No trial was scored." in text


def test_the_citation_loading_code_and_sample_table_survive_hostile_text(findings):
    nasty = "a|b\n## c <script>alert(1)</script> `d` ---"
    task = Task("x: {y", ("text",), (nasty, "b"))
    hostile = findings(
        task=task,
        distilled=Dataset(task, [Example((nasty,), 0), Example((nasty,), 1)]),
        notes=(nasty,),
        provenance=Provenance("k", 0, "0.1", {nasty: nasty}, {nasty: nasty}, nasty),
    )
    text = card.render(hostile)
    assert "<script" not in text and "\n## c" not in text
    assert front(text)["pretty_name"] == "x: {y, distilled to 2 per class"
    samples = text[text.index("## What is inside") :].splitlines()[2:6]
    assert [line.replace("\\|", "").count("|") for line in samples] == [3, 3, 3, 3]


@settings(max_examples=25, deadline=None)
@given(st.text())
def test_any_task_name_keeps_the_metadata_readable(findings, name):
    task = Task(name, ("text",), ("a", "b"))
    text = card.render(findings(task=task, distilled=Dataset(task, [Example(("x",), 0)]), bars=(), scores=()))
    assert front(text)["tags"][0] == "dataset-distillation"
