"""Points of words: texts that share words lie together, words nobody knows count for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from dilm.models import latent_words
from dilm.models.latent_words import LatentWords
from dilm.types import Dataset, Example, Task

ONE = Task("one", ("text",), ("cold", "warm"))
PAIRS = Task("pairs", ("first", "second"), ("no", "yes"))
SEASONS = Dataset(
    ONE, [Example((f"snow and ice {n}",), 0) for n in range(9)] + [Example((f"sun on sand {n}",), 1) for n in range(9)]
)


def test_texts_of_like_words_lie_together():
    ice, sun, both = LatentWords(SEASONS).encode([Example((text,), 0) for text in ("ice snow", "sun sand", "ice sun")])
    assert ice @ both > 5 * abs(ice @ sun) and sun @ both > 5 * abs(ice @ sun)


def test_unknown_words_are_nowhere_and_the_same_rows_give_the_same_digits():
    unknown = [Example(("perambulating",), 0)]
    assert not LatentWords(SEASONS).encode(unknown).any()
    one, other = (LatentWords(SEASONS).encode(SEASONS) for _ in range(2))
    assert np.array_equal(one, other) and one.dtype == np.float32


@pytest.mark.parametrize("rows", [2, 3])
def test_few_rows_are_enough(rows: int):
    few = SEASONS[:rows]
    assert np.isfinite(LatentWords(few).encode(few)).all()


def test_pairs_have_the_shares_of_common_words():
    rows = Dataset(PAIRS, [Example(("is it far", "how far"), 1), Example(("is it far", "who"), 0)])
    assert LatentWords(rows).encode(rows)[:, -2:] == pytest.approx(np.array([[1 / 3, 1 / 2], [0, 0]]))


def test_very_many_rows_are_learnt_from_in_part(monkeypatch):
    monkeypatch.setattr(latent_words, "MOST_ROWS", 6)
    own = [Example((f"n{n}",), 0) for n in range(9)]  # words that one row has
    points = LatentWords(Dataset(ONE, [Example((f"snow n{n}",), 0) for n in range(9)])).encode(own)
    assert sum(map(bool, points.any(axis=1))) <= 6


def test_no_texts_are_no_points():
    assert LatentWords(SEASONS).encode([]).shape == (0, LatentWords(SEASONS).encode(SEASONS).shape[1])
