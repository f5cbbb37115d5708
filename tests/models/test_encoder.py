"""Laws of the encoder: unit length, no influence of neighbours, no text computed twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import KINDS, PAIRS, SENTENCES, TASK, rows
from transformers import AutoModel

from dilm.models import encoder as module
from dilm.models.encoder import CachedEncoder, FeatureEncoder, mean_direction
from dilm.models.hub import open_model, open_tokenizer
from dilm.types import Dataset, Example


@pytest.fixture(scope="module")
def encoder(tiny_folder, place):
    opened = {}

    def of(kind: str) -> FeatureEncoder:
        if kind not in opened:
            opened[kind] = FeatureEncoder.open(tiny_folder(kind), place)
        return opened[kind]

    return of


@pytest.mark.parametrize("kind", [*KINDS, "modernbert", "t5", "llama"])
def test_a_point_does_not_depend_on_its_neighbours(encoder, kind, monkeypatch):
    together = encoder(kind).encode(rows())
    alone = np.concatenate([encoder(kind).encode([row]) for row in rows()])
    monkeypatch.setattr(module, "tokens_read_at_once", lambda place, model: 20)
    by_two = encoder(kind).encode(rows())
    assert together.shape == (len(SENTENCES), 16) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, by_two, atol=1e-5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(len(SENTENCES))))
def test_points_follow_the_order_of_the_rows(encoder, order):
    points = encoder("bert").encode(rows())
    np.testing.assert_allclose(encoder("bert").encode([rows()[at] for at in order]), points[order], atol=1e-5)


def test_the_mean_leaves_padding_out():
    states = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]])
    point = mean_direction(states, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(point, torch.tensor([[0.6, 0.8]]))


def test_a_tokenizer_that_pads_gpt2_on_the_wrong_side_does_no_harm(encoder, tiny_folder, place):
    tokenizer = open_tokenizer(tiny_folder("gpt2"))
    tokenizer.padding_side = "left"
    wrong = FeatureEncoder.from_parts(open_model(AutoModel, tiny_folder("gpt2")), tokenizer, place)
    np.testing.assert_allclose(wrong.encode(rows()), encoder("gpt2").encode(rows()), atol=1e-5)


def test_a_pair_is_a_point_too(encoder):
    points = encoder("bert").encode(rows(PAIRS))
    swapped = encoder("bert").encode([Example(row.texts[::-1], 0) for row in rows(PAIRS)])
    assert points.shape == swapped.shape and not np.allclose(points, swapped)


def test_no_rows_are_no_points(encoder):
    assert encoder("bert").encode([]).shape == (0, 16)
    assert CachedEncoder(encoder("bert")).encode([]).shape == (0, 16)


class Counting:
    """An encoder that remembers what it was asked."""

    def __init__(self, inner: FeatureEncoder) -> None:
        self.inner, self.asked = inner, []

    def encode(self, examples):
        self.asked += [example.texts for example in examples]
        return self.inner.encode(examples)


def test_the_cache_computes_each_text_once_and_changes_nothing(encoder):
    counting = Counting(encoder("bert"))
    cached = CachedEncoder(counting)
    data = Dataset(TASK, [*rows(), *rows()])
    points = cached.encode(data)
    np.testing.assert_allclose(points, encoder("bert").encode(data), atol=1e-5)
    assert cached.encode(Dataset(TASK, list(data))) is points
    np.testing.assert_array_equal(cached.encode(data.of(1)), points[list(data.where(1))])
    np.testing.assert_array_equal(cached.encode(list(data)[2:4]), points[2:4])
    assert sorted(counting.asked) == sorted((text,) for text in SENTENCES)
    with pytest.raises(ValueError, match="read-only"):
        points[0] = 0


class Tally:
    """Counts how many rows it was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def encode(self, examples) -> np.ndarray:
        self.asked += len(examples)
        return np.array([[float(example.texts[0])] for example in examples], dtype=np.float32)


def numbers(count: int) -> Dataset:
    return Dataset(TASK, [Example((str(number),), 0) for number in range(count)])


def test_points_of_many_rows_are_found_again_by_another_process(tmp_path):
    many = numbers(module.MANY + 1)
    first, later = Tally(), Tally()
    points = CachedEncoder(first, tmp_path / "points", [many.fingerprint]).encode(many)
    both = CachedEncoder(later, tmp_path / "points")
    again = both.encode(many)
    np.testing.assert_array_equal(points, again)
    some = many.take(range(3, len(many), 2))  # of known rows only
    np.testing.assert_array_equal(both.encode(some), points[3::2])
    assert (first.asked, later.asked) == (len(many), 0)
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 1


def test_points_of_few_rows_and_of_other_rows_are_not_taken_from_the_folder(tmp_path):
    pool = numbers(module.MANY + 3)
    several = (numbers(5), numbers(module.MANY + 1), numbers(module.MANY + 2), pool)
    lasting = [rows_.fingerprint for rows_ in several if rows_ is not pool]
    for rows_ in several:
        counting = Tally()
        CachedEncoder(counting, tmp_path, lasting).encode(rows_)
        assert counting.asked == len(rows_)
    assert len(list(tmp_path.iterdir())) == 2  # nothing of few rows, nothing of a pool, nothing unfinished
