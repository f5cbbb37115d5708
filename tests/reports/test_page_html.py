"""The page: complete, self-contained, bounded, and deaf to markup in data."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.reports import page
from dilm.types import Dataset, Example, Provenance, Task

HOSTILE = "</style></title><script>document.title='x'</script><img src=x onerror=alert(1)>{{ 7*7 }}"


class Reader(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def about(task: Task, text: str) -> Dataset:
    return Dataset(task, [Example((text,) * len(task.fields), label) for label in task.conditions])


def test_the_page_shows_verdict_examples_scores_and_origin(findings):
    text = Reader(page.render(findings())).text.replace("\u00a0", " ")
    for expected in (
        "No difference shown from K-centers",
        "Models trained on 4 examples like these reach 78.0 % accuracy",
        "a warm film",
        "K-centers",
        "a text that the pool already had",
        "Full data was scored once.",
        "1 h 1 min",
        "2.0 GB",
        "not measured",
        "1e-05",
        "k3y",
        "none: real rows were used without a privacy mechanism",
        "Findings of NAACL 2024",
    ):
        assert expected in text


def test_the_same_findings_give_the_same_page(findings):
    assert page.render(findings()) == page.render(findings())


def test_nothing_is_loaded_from_elsewhere_and_no_script_is_needed(findings):
    found = Reader(page.render(findings()))
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    addresses = [value for name, value in found.attributes if name in ("href", "src", "action", "xlink:href")]
    assert all(value and value.startswith(("#", "https://aclanthology.org/")) for value in addresses)
    assert "@import" not in found.text and "url(http" not in found.text


def test_markup_in_names_is_text(findings, bar):
    task = Task(HOSTILE, (HOSTILE, "other"), (HOSTILE, "b"), metric=HOSTILE)
    hostile = findings(
        task=task,
        distilled=about(task, HOSTILE),
        bars=(bar("dilm", 0.7, learner=HOSTILE), bar(HOSTILE, 0.6, learner=HOSTILE)),
        recipe={HOSTILE: {HOSTILE: [HOSTILE]}, "x": HOSTILE},
        rejected={HOSTILE: {HOSTILE: 3}},
        provenance=Provenance(HOSTILE, 0, HOSTILE, {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}, HOSTILE),
        notes=(HOSTILE,),
        splits={HOSTILE: 3},
    )
    found = Reader(page.render(hostile))
    assert "script" not in found.tags and "img" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert found.text.count("{{ 7*7 }}") > 10


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_the_structure_of_a_page_does_not_depend_on_its_texts(findings, text, name):
    def tags(text: str, name: str) -> list[str]:
        task = Task(name, ("a", "b"), (name, "other"))
        absent = {"bars": (), "scores": (), "curves": None}
        other = {"notes": (text,), "rejected": {"dilm": {name: 1}}, "recipe": {"x": {"y": text}}}
        return Reader(page.render(findings(task=task, distilled=about(task, text), **absent, **other))).tags

    assert tags(text, name) == tags("plain", "words")


def test_pairs_name_their_fields(findings):
    task = Task("pairs", ("premise", "hypothesis"), ("no", "yes"))
    text = page.render(findings(task=task, distilled=about(task, "same words")))
    assert "<dt>premise</dt>" in text and "<dt>hypothesis</dt>" in text


def test_the_cost_names_time_memory_and_tokens(findings):
    text = Reader(page.render(findings())).text
    assert all(word in text for word in ("1 min 0 s", "2.0 GB", "3.1 million", "not counted"))


def test_a_bare_set_still_has_a_page_that_says_what_is_absent(findings):
    bare = findings(scores=(), bars=(), curves=None, rejected=None, recipe=None, costs=(), splits=None, notes=())
    text = Reader(page.render(bare)).text
    for sentence in (
        "Nothing was measured in this run",
        "No curve of fit",
        "No curve of match",
        "kept no count of rejected texts",
        "kept no record of its time and memory",
        "No recipe was stored",
    ):
        assert sentence in text


def test_a_huge_set_gives_a_bounded_page_that_says_what_it_left_out(findings):
    task = Task("big", ("text",), tuple(f"class {number}" for number in range(6)))
    rows = [Example(("word " * 2000,), row % 6) for row in range(3000)]
    text = page.render(findings(task=task, distilled=Dataset(task, rows), per_class=500))
    assert len(text.encode()) < 400_000
    assert "460 more in the data file." in text and "more characters)" in text


def test_text_that_no_encoding_can_hold_does_not_stop_the_report(findings):
    distilled = about(findings().task, "a lone surrogate \ud800 here")
    page.render(findings(distilled=distilled)).encode("utf-8")


def test_shares_of_a_pool_add_up(findings):
    lines = page.rejections(findings())
    assert [line.reason for line in lines] == ["duplicate", "odd", "kept"]
    for pool in range(2):
        assert sum(line.pools[pool][0] for line in lines) == pytest.approx(1)


def test_an_empty_pool_has_no_shares(findings):
    (line,) = page.rejections(findings(rejected={"dilm": {"kept": 0}}))
    assert line.pools == ((0.0, 0),)
