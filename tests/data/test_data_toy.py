"""The toy reviews: the label that a text was written for is the one it parses to, and counting words is not enough."""

from __future__ import annotations

import random
import re
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.data import toy
from dilm.data.load import load
from dilm.types import Dataset, Splits


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load("toy")


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_parse_finds_the_label_that_was_written(seed: int) -> None:
    for example in toy.sentences(20, seed):
        assert toy.parse(example.texts[0]) == example.label


def test_every_sentence_of_the_task_means_one_thing_only(splits: Splits) -> None:
    for example in splits.test:
        words = toy.split(example.texts[0])
        meant = [sign for sign in toy.SIGNS if toy.grammar().parse(f"review.{sign}", words)]
        assert meant == [toy.SIGNS[example.label]]


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_parse_tolerates_case_and_spacing(seed: int) -> None:
    (example,) = toy.sentences(1, seed)
    spaced = re.sub(r"([.,])", r" \1 ", example.texts[0])
    assert toy.parse(example.texts[0].upper()) == toy.parse(spaced) == toy.parse(spaced.rstrip(" .")) == example.label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("the soup was bland, but i loved the steak.", 1),
        ("i loved the steak, but the soup was bland.", 0),
        ("although the plot was clever, the ending was dull.", 0),
        ("the ending was dull, although the plot was clever.", 0),
        ("the screen of this phone was not sharp.", 0),
        ("the plot of this film was never boring.", 1),
        ("this film was hardly a masterpiece because the acting was anything but moving.", 0),
        ("the weather was awful that week, but the soup was tasty.", 1),
        ("the soup was tasty, but the weather was awful that week.", None),
        ("the soup of this film was gripping.", None),
        ("a completely free text.", None),
        ("", None),
    ],
)
def test_negation_and_contrast_decide(text: str, label: int | None) -> None:
    assert toy.parse(text) == label


def test_a_seed_is_a_dataset_and_more_is_a_continuation() -> None:
    assert toy.sentences(50, 3) == toy.sentences(80, 3)[:50]
    assert toy.sentences(50, 3) != toy.sentences(50, 4)


def test_sizes_balance_and_disjoint_texts(splits: Splits) -> None:
    parts = (splits.train, splits.dev, splits.test)
    assert [part.counts for part in parts] == [(2700, 2700), (300, 300), (500, 500)]
    assert len({example.texts for part in parts for example in part}) == 7000
    assert splits.task.labels == ("negative", "positive")


def test_sentences_are_short_plain_english_with_many_words(splits: Splits) -> None:
    texts = [example.texts[0] for example in splits.train]
    assert all(re.fullmatch(r"[a-z]+(,? [a-z]+){5,21}\.", text) for text in texts)
    assert len({word for text in texts for word in toy.split(text)}) > 350
    assert toy.grammar().count("review.good") > 10**9


def test_counting_words_needs_many_rows_and_never_suffices(splits: Splits) -> None:
    few = mean(word_counting(five_per_class(splits.train, draw), splits.test) for draw in range(20))
    assert few < 0.70
    assert 0.90 < word_counting(splits.train, splits.test) < 0.99


def five_per_class(train: Dataset, draw: int) -> Dataset:
    rng = random.Random(draw)
    return train.take([row for label in (0, 1) for row in rng.sample(train.where(label), 5)])


def word_counting(train: Dataset, test: Dataset) -> float:
    """Accuracy of TF-IDF and logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    model.fit([example.texts[0] for example in train], train.labels)
    return float(model.score([example.texts[0] for example in test], test.labels))
