"""The page of a search: every trial is on it, whatever its fate, and nothing of it is run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilm.reports import search_page, searched
from dilm.reports.searched import Searched, Tried

SPACE = {
    "fit.lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "fit.steps": {"low": 1, "high": 9, "step": 2},
    "select.method": {"choices": ["typical", "<b>bold</b>"]},
}


def trial(number: int, state: str = "complete", value: float | None = 0.5) -> Tried:
    settings = {"fit.lr": 1e-3 * (number + 1), "fit.steps": 3, "select.method": "<b>bold</b>"}
    return Tried(number, state, settings, value, 0.01, 3.0, {"bert": 0.5}, "no <i>memory</i>" if value is None else "")


FOUND = Searched(
    "films & more",
    "accuracy",
    6,
    SPACE,
    [trial(0), trial(1, value=0.7), trial(2, "pruned", 0.2), trial(3, "fail", None), trial(4, "running", None)],
    {"fit.lr": 0.8, "select.method": 0.2},
)


def test_every_trial_is_on_the_page_and_none_of_it_is_markup():
    page = search_page.render(FOUND, "seed: 0")
    assert "70.0 % ± 1.0 with trial 1" in page and "films &amp; more" in page
    for words in ("finished", "stopped early", "failed: no &lt;i&gt;memory&lt;/i&gt;", "under way"):
        assert f">{words}" in page
    assert "<b>bold" not in page and "<i>memory" not in page
    assert page.count("<svg") == 3 and "dilm distill SOURCE --recipe best.yaml" in page


def test_a_search_without_a_finished_trial_has_a_page():
    bare = replace(FOUND, trials=[trial(3, "fail", None)], importances={})
    page = search_page.render(bare, "")
    assert "No trial is finished yet" in page and "<svg" not in page
    assert bare.best is None and searched.plain(bare)["best"] is None


def test_the_record_is_json_and_the_table_has_a_row_for_each_trial():
    assert json.loads(json.dumps(searched.plain(FOUND)))["best"] == 1
    table = searched.markdown(FOUND)
    assert [line for line in table.splitlines() if line.startswith("| **1**")]
    assert sum(line.startswith("| ") for line in table.splitlines()) == 1 + 5 + 1 + 2


@given(st.lists(st.tuples(st.sampled_from(list(searched.KINDS)), st.floats(0, 1)), max_size=8))
def test_the_best_is_a_finished_trial_that_none_beats(states: list[tuple[str, float]]):
    found = replace(FOUND, trials=[trial(at, state, value) for at, (state, value) in enumerate(states)])
    done = [t.value for t in found.trials if t.state == "complete"]
    assert (found.best.value if found.best else None) == max(done, default=None)
    assert len(searched.rows(found)) == len(states)
    if found.best:
        assert searched.rows(found)[0][0] == "ours"


def test_of_perplexities_the_least_is_the_best_and_the_page_says_so():
    values = [trial(0, value=9.5), trial(1, value=4.25), trial(2, value=12.0), trial(3, "pruned", 3.0)]
    found = replace(FOUND, metric="perplexity", trials=values)
    assert found.best and found.best.number == 1
    assert [cells[0] for _, cells in searched.rows(found)] == ["1", "0", "2", "3"]
    page = search_page.render(found, "seed: 0")
    assert "4.25 ± 0.01 with trial 1" in page and "less is better" in page and "425.0 %" not in page
    assert "(less is better)" in searched.markdown(found)


@pytest.mark.parametrize("state", searched.KINDS)
def test_every_state_has_words(state: str):
    assert searched.rows(replace(FOUND, trials=[trial(0, state)]))[0][1][-1] == searched.KINDS[state]
