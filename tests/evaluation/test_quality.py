"""What is measured is right at its fixed points; what is not measured is None and says why."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import fields
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.errors import DataError, ModelError, ResourceError
from dilm.evaluation.quality import Quality, likeness, mauve, perplexity, quality, self_bleu
from dilm.types import Dataset, Example, Task

TASK = Task("films", ("text",), ("bad", "good"))
any_texts = st.lists(st.lists(st.sampled_from("abcd"), max_size=8).map(" ".join), min_size=1, max_size=6)


def rows(*texts: str) -> Dataset:
    return Dataset(TASK, [Example((text,), number % 2) for number, text in enumerate(texts)])


class Letters:
    """Points whose coordinates are counts of letters."""

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        return np.array([[1 + row.texts[0].count(letter) for letter in "ab"] for row in examples], dtype=np.float32)


class Fair:
    """A language model for which each word is one of four."""

    def __call__(self, texts: Sequence[str]) -> tuple[list[float], list[int]]:
        counts = [len(text.split()) for text in texts]
        return [count * math.log(4) for count in counts], counts


class Optimist:
    def predict(self, examples: Sequence[Example]) -> list[int]:
        return [1] * len(examples)


def without_bleu(patch: pytest.MonkeyPatch) -> None:
    """As if sacrebleu were not installed: most laws need none, and it is slow."""
    patch.setitem(sys.modules, "sacrebleu.metrics", None)


def missing(found: Quality) -> set[str]:
    return {each.name for each in fields(found) if getattr(found, each.name) is None}


def test_everything_has_its_value(monkeypatch):
    without_bleu(monkeypatch)
    found = quality(rows("a b c", "a b c d", "A, b, c."), Letters(), Fair(), Optimist())
    assert (found.texts, found.words_mean, found.words_median, found.words_max) == (3, pytest.approx(10 / 3), 3, 4)
    assert (found.distinct_1, found.distinct_2, found.distinct_3) == (4 / 10, 3 / 7, 2 / 4)
    assert (found.exact_duplicates, found.near_duplicates, found.repetition) == (1, 0, 0)
    assert found.perplexity == pytest.approx(4)
    assert found.label_agreement == pytest.approx(1 / 3)
    assert 1 < found.vendi < 2
    assert set(found.reasons) == {"self_bleu", "frechet", "mauve"}


@given(any_texts, st.booleans(), st.booleans())
@settings(max_examples=50, deadline=None)
def test_each_missing_number_and_no_other_has_a_reason(texts, encoded, compared):
    with pytest.MonkeyPatch.context() as patch:
        without_bleu(patch)
        found = quality(rows(*texts), encoder=Letters() if encoded else None, real=rows(*texts) if compared else None)
    assert missing(found) == set(found.reasons)
    assert {"self_bleu", "perplexity", "label_agreement", "mauve"} <= missing(found)
    assert all(found.reasons.values())


@given(any_texts, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_of_texts_does_not_matter(texts, order):
    with pytest.MonkeyPatch.context() as patch:
        without_bleu(patch)
        there, back = (quality(rows(*some), Letters()) for some in (texts, order.sample(texts, len(texts))))
    for each in fields(there):
        if each.name != "vendi":
            assert getattr(there, each.name) == getattr(back, each.name)
    assert there.vendi == pytest.approx(back.vendi)


def test_repeats_are_counted_once_as_equal_or_as_alike(monkeypatch):
    without_bleu(monkeypatch)
    long = "a b c d e f g h i j k l m n o p q r s t"
    found = quality(rows(long, long, long.replace("a", "z"), "so so so so so"))
    assert (found.exact_duplicates, found.near_duplicates, found.repetition) == (1, 3, 0.25)


def test_fields_are_joined_in_reading_order(monkeypatch):
    without_bleu(monkeypatch)
    read: list[str] = []

    def model(texts):
        read.extend(texts)
        return Fair()(texts)

    pair = Dataset(Task("pairs", ("a", "b"), ("no", "yes")), [Example(("is it", "it is"), 1)])
    found = quality(pair, language_model=model)
    assert read == ["is it it is"] and found.words_max == 4


def test_no_texts_are_refused():
    with pytest.raises(DataError, match="no texts"):
        quality(rows())


def test_a_broken_object_is_not_a_missing_number(monkeypatch):
    without_bleu(monkeypatch)

    class Broken:
        def encode(self, examples):
            raise ModelError("The encoder is broken.", "Mend it.")

    with pytest.raises(ModelError, match="broken"):
        quality(rows("a", "b"), encoder=Broken())


def test_real_rows_are_not_encoded_for_nothing(monkeypatch):
    without_bleu(monkeypatch)

    asked: list[int] = []

    class Counting(Letters):
        def encode(self, examples):
            asked.append(len(examples))
            return super().encode(examples)

    found = quality(rows("a", "b"), encoder=Counting(), real=rows(*"ab" * 500))
    assert asked == [2]
    assert "needs 21 points a side, and there are 2" in found.reasons["frechet"]
    assert "MAUVE needs 1000 texts a side, and there are 2" in found.reasons["mauve"]


def test_enough_rows_have_a_distance(monkeypatch):
    without_bleu(monkeypatch)
    texts = [letter * count for letter in "abc" for count in range(1, 9)]
    assert quality(rows(*texts), Letters(), real=rows(*texts)).frechet == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("nll", "tokens"), [([math.inf], [3]), ([math.nan], [3]), ([0.0], [0]), ([1e6], [1])])
def test_a_likelihood_that_is_no_number_is_no_perplexity(nll, tokens):
    with pytest.raises(DataError, match="no finite likelihood"):
        perplexity(nll, tokens)


def test_a_pool_is_nearer_to_rows_like_it_than_to_others():
    generator = np.random.default_rng(0)
    like, unlike = (
        rows(*("".join(generator.choice(list("ab"), size=12, p=share)) for _ in range(60)))
        for share in ([0.5, 0.5], [0.9, 0.1])
    )
    near, far = likeness(like, like, Letters()), likeness(unlike, like, Letters())
    assert near.frechet == pytest.approx(0, abs=1e-9) and far.frechet is not None and far.frechet > 1
    assert near.mauve is None and "there are 60" in near.reasons["mauve"]


def test_a_missing_extra_says_what_to_install(monkeypatch):
    without_bleu(monkeypatch)
    with pytest.raises(ResourceError, match=r"pip install dilm\[text\]"):
        self_bleu([("a",), ("b",)])
    assert "pip install dilm[text]" in quality(rows("a", "b")).reasons["self_bleu"]
    monkeypatch.setitem(sys.modules, "mauve", None)
    with pytest.raises(ResourceError, match=r"pip install dilm\[mauve\]"):
        mauve(np.zeros((1000, 2)), np.zeros((1000, 2)))


@pytest.mark.parametrize("count", [1, 501])
def test_too_few_and_too_many_texts_have_no_self_bleu(count):
    with pytest.raises(DataError, match=f"{count} texts are too few or too many"):
        self_bleu([("a",)] * count)


def test_self_bleu_is_1_of_equal_texts_and_0_of_texts_without_a_common_word():
    pytest.importorskip("sacrebleu")
    same, other = tuple("abcde"), tuple("vwxyz")
    assert self_bleu([same, same, same]) == pytest.approx(1)
    assert self_bleu([("good",), ("good",)]) == pytest.approx(1)
    assert self_bleu([same, other]) == 0
    assert 0 < self_bleu([same, (*same[:3], *other[:2]), other]) < 1


def test_mauve_is_that_of_its_package_with_the_real_side_first(monkeypatch):
    package = ModuleType("mauve")
    package.compute_mauve = lambda p_features, q_features, verbose: SimpleNamespace(mauve=p_features[0, 0])
    monkeypatch.setitem(sys.modules, "mauve", package)
    assert mauve(np.zeros((1000, 2)), np.full((1000, 2), 0.5)) == 0.5
    with pytest.raises(DataError, match="MAUVE needs 1000 texts a side, and there are 999"):
        mauve(np.zeros((999, 2)), np.zeros((1000, 2)))
