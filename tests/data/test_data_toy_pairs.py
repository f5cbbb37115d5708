"""The toy pairs: same meaning in other words, or exactly one thing changed."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.data import toy_pairs
from dilm.data.load import load


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_parse_pair_finds_the_label_that_was_written(seed: int) -> None:
    for example in toy_pairs.pairs(10, seed):
        assert toy_pairs.parse_pair(*example.texts) == example.label


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_different_pairs_differ_in_one_thing_and_same_pairs_only_in_words(seed: int) -> None:
    for example in toy_pairs.pairs(10, seed):
        first, second = (toy_pairs.parse(text) for text in example.texts)
        assert first and second
        changed = sum(one != other for one, other in zip(astuple(first), astuple(second), strict=True))
        assert changed == 1 - example.label
        assert example.texts[0] != example.texts[1]


@pytest.mark.parametrize(
    ("first", "second", "label"),
    [
        ("the phone of my boss is cheap.", "My manager has a handset that is hardly expensive .", 1),
        ("the phone of my boss is cheap.", "the phone of my boss is not cheap.", 0),
        ("the phone of my boss is cheap.", "the phone of my boss is small.", 0),
        ("the phone of my boss is cheap.", "the phone of my doctor is cheap.", 0),
        ("the phone of my boss is cheap.", "the lamp of my boss is cheap.", 0),
        ("the phone of my boss is cheap.", "my boss is cheap.", None),
    ],
)
def test_one_thing_decides(first: str, second: str, label: int | None) -> None:
    assert toy_pairs.parse_pair(first, second) == label


def test_no_word_means_two_things() -> None:
    rules = toy_pairs.grammar().rules
    lists = [head for head in rules if head.startswith(("trait.", "owner.", "thing."))]
    words = [part for head in lists for branch in rules[head] for part in branch.parts if part not in rules]
    assert len(words) == len(set(words)) > 80


def test_it_loads_like_any_other_task() -> None:
    splits = load("toy_pairs")
    assert splits.task.fields == ("first", "second")
    assert [part.counts for part in (splits.train, splits.dev, splits.test)] == [(2700, 2700), (300, 300), (500, 500)]
