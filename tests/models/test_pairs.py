"""Points and counts of pairs tell how two texts relate, which neither text tells alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilm.models.encoder import FeatureEncoder
from dilm.models.linear import FrozenFeatures, WordCounts
from dilm.models.pairs import BLOCKS, PairEncoder, compared, shared_words
from dilm.numerics.words import words
from dilm.reading import open_encoder
from dilm.types import Dataset, Example, Task

PAIRS = Task("pairs", ("first", "second"), ("different", "same"))
ONE = Task("one", ("text",), ("no", "yes"))
texts = st.text("ab c?", max_size=12)


class Drawn:
    """A text's point is drawn anew for each text, so that neither text of a pair says anything of the class."""

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        drawn = [np.random.default_rng(list(row.texts[0].encode())).normal(size=16) for row in examples]
        return np.array([point / np.linalg.norm(point) for point in drawn], dtype=np.float32).reshape(-1, 16)


def same_or_different(first: int, rows: int) -> Dataset:
    """Half of the pairs say one thing twice; no word stands in two pairs."""
    near = [Example((f"what is w{n}", f"what is w{n}"), 1) for n in range(first, first + rows, 2)]
    far = [Example((f"what is w{n}", f"where are v{n}"), 0) for n in range(first + 1, first + rows, 2)]
    return Dataset(PAIRS, [row for both in zip(near, far, strict=True) for row in both])


@pytest.mark.parametrize("student", [FrozenFeatures(PairEncoder(Drawn())), WordCounts()], ids=["points", "words"])
def test_a_linear_head_learns_from_ten_pairs_whether_two_texts_say_the_same(student: FrozenFeatures | WordCounts):
    student.train_on(same_or_different(0, 20), 0)
    unseen = same_or_different(1000, 60)
    right = np.mean([found == row.label for found, row in zip(student.predict(unseen), unseen, strict=True)])
    assert right > 0.9


def test_points_of_a_pair_are_made_of_where_its_texts_lie_alone(place, tiny_folder):
    reader = FeatureEncoder.open(tiny_folder("bert"), place)
    rows = [Example(("a film", "a good film"), 0), Example(("a film", "a film"), 1)]
    left, right = (reader.encode([Example((row.texts[side],), 0) for row in rows]) for side in (0, 1))
    found = PairEncoder(reader).encode(rows)
    wide = left.shape[1]
    assert found.shape == (2, BLOCKS * wide) and found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    scale = np.linalg.norm(found[:, :wide], axis=1, keepdims=True)
    assert np.allclose(found[:, :wide], left * scale, atol=1e-5)
    assert np.allclose(found[:, wide : 2 * wide], right * scale, atol=1e-5)
    assert np.allclose(found[1, 2 * wide : 3 * wide], 0, atol=1e-6), "the same text twice differs in nothing"
    assert PairEncoder(reader).encode([]).shape == (0, BLOCKS * wide)


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_pair_turned_round_swaps_its_texts_and_keeps_how_they_relate(rows: int, wide: int, seed: int):
    drawn = np.random.default_rng(seed).normal(size=(2, rows, wide))
    left, right = drawn / np.linalg.norm(drawn, axis=2, keepdims=True)
    one, other = (compared(*sides).reshape(rows, BLOCKS, wide) for sides in ((left, right), (right, left)))
    assert np.allclose(one[:, [1, 0, 2, 3]], other, atol=1e-6)
    assert np.allclose(np.linalg.norm(one, axis=(1, 2)), 1, atol=1e-6)


def test_a_few_large_directions_do_not_drown_the_rest():
    """Encoders of the BERT family have some: unbounded, products would be nearly all of a point."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2, 50, 64))
    points[:, :, 0] += 12
    left, right = points / np.linalg.norm(points, axis=2, keepdims=True)
    blocks = compared(left, right).reshape(50, BLOCKS, 64)
    assert (np.square(blocks[:, 3]).sum(axis=1) < 0.67).all()


@given(texts, texts)
def test_shared_words_are_shares(left: str, right: str):
    ours, theirs = set(words(left)), set(words(right))
    ((of_left, of_right),) = shared_words([Example((left, right), 0)])
    assert of_left == pytest.approx(len(ours & theirs) / len(ours) if ours else 0)
    assert of_right == pytest.approx(len(ours & theirs) / len(theirs) if theirs else 0)


def test_only_pairs_with_a_class_are_compared():
    assert PAIRS.is_pair
    assert not ONE.is_pair
    assert not Task("write", ("ask", "say"), ("all",), kind="generation", target="say").is_pair
    assert not Task("three", ("a", "b", "c"), ("no", "yes")).is_pair


def test_the_encoder_of_a_task_with_pairs_compares_them(place, tiny_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("DILM_CACHE", str(tmp_path))
    folder = tiny_folder("bert")
    of_pairs, of_texts = (open_encoder(folder, task, place) for task in (PAIRS, ONE))
    pair, text = of_pairs.encode([Example(("a", "b"), 0)]), of_texts.encode([Example(("a",), 0)])
    assert pair.shape[1] == BLOCKS * text.shape[1]
    assert of_pairs.folder != of_texts.folder, "points of both kinds must not share a folder of the cache"
