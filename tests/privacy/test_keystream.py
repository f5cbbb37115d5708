"""Noise from a cipher: the cipher is the one that is named, its numbers are normal, and no draw comes again."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
import torch
from scipy import stats

from dilm.errors import ResourceError
from dilm.privacy.dpsgd import Bounds, DPAdamW
from dilm.privacy.keystream import PIECE, Keystream
from dilm.privacy.noise import Keyed, Secure
from dilm.privacy.released import noised
from dilm.runtime.optimize import AdamW, Schedule

KEY = bytes(range(32))
VECTORS = (
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
    "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
)
"""RFC 8439, appendix A.1, test vectors 1 and 2: the first blocks under a key and a nonce of zeros."""


def numbered() -> Callable[[], bytes]:
    """Keys one after the other, the same at every test."""
    numbers = count()
    return lambda: next(numbers).to_bytes(32, "big")


def test_it_is_chacha20_block_after_block():
    stream = Keystream(bytes(32))
    assert [stream.bytes(64).hex() for _ in VECTORS] == list(VECTORS)
    assert Keystream(bytes(32)).bytes(128).hex() == "".join(VECTORS)


def test_numbers_are_what_a_plain_reading_of_the_stream_says():
    words = [int.from_bytes(Keystream(KEY).bytes(8 * 16)[at : at + 8], "little") >> 11 for at in range(0, 128, 8)]
    spread = [word / 2**53 for word in words]
    assert Keystream(KEY).uniform(16).tolist() == spread and all(0 <= each < 1 for each in spread)
    one, other = 0.0, 0.0
    for u, v, turn, back in (spread[at : at + 4] for at in range(0, 16, 4)):
        one += math.sqrt(-2 * math.log1p(-u)) * math.cos(2 * math.pi * turn)
        other += math.sqrt(-2 * math.log1p(-v)) * math.cos(2 * math.pi * back)
    assert Keystream(KEY).normal(2) == pytest.approx([one / 2, other / 2], rel=1e-12)


def test_they_are_normal_and_know_nothing_of_each_other():
    drawn = Keystream(KEY).normal(PIECE + 50_000)
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    assert stats.kstest(drawn[:PIECE], drawn[PIECE:]).pvalue > 0.01  # no piece begins the stream again
    assert [float((drawn**power).mean()) for power in (1, 2, 3, 4)] == pytest.approx([0, 1, 0, 3], abs=0.03)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.006 and len(np.unique(drawn)) == len(drawn)
    assert 4 < float(np.abs(drawn).max()) < 6
    assert stats.kstest(Keystream(KEY).uniform(100_000), "uniform").pvalue > 0.01


def test_a_normal_number_is_finite_at_both_ends_of_what_is_drawn(monkeypatch):
    for word in (b"\x00", b"\xff"):
        monkeypatch.setattr(Keystream, "bytes", lambda self, size, word=word: word * size)
        assert abs(float(Keystream(KEY).normal(1)[0])) < 17.2


def test_the_same_is_never_drawn_twice():
    like = torch.zeros(1000)
    one, other = Secure(), Secure()
    drawn = [source.normal(like, "fit", 0) for source in (one, one, other)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert abs(float(torch.corrcoef(torch.stack([drawn[first], drawn[second]]))[0, 1])) < 0.15
    assert one.mark != other.mark and one.chosen(1000, 0.5, "fit", 0) != one.chosen(1000, 0.5, "fit", 0)


def test_each_row_is_drawn_by_a_secure_coin_of_its_own():
    source = Secure(numbered())
    drawn = [source.chosen(200, 0.1) for _ in range(400)]
    sizes = [len(rows) for rows in drawn]
    assert sum(sizes) / 400 == pytest.approx(20, abs=1) and len(set(sizes)) > 10
    often = [sum(row in rows for rows in drawn) for row in range(200)]
    assert min(often) > 15 and max(often) < 75
    assert source.chosen(50, 1.0) == list(range(50)) and source.chosen(50, 0.0) == []


def test_sums_are_rounded_once_after_the_noise():
    """In float64 until then: a noise of few digits could be told from the sum that it was added to."""
    weight = torch.nn.Parameter(torch.zeros(1000))
    update = DPAdamW(AdamW([weight], Schedule(1, 1e-2)), Bounds(0.3, 1.7, 1.0), Secure(numbered()), lambda *_: [])
    taken: list[torch.Tensor] = []
    update.adam.advance = lambda: taken.append(weight.grad.clone())  # type: ignore
    total = torch.linspace(-3, 3, 1000)
    update.along([total])
    noise = torch.from_numpy(Keystream(bytes(32)).normal(1000))
    exact = total.double() + 1.7 * 0.3 * noise
    assert taken[0].dtype == torch.float32 and torch.equal(taken[0], exact.float())
    assert not torch.equal(taken[0], total + 1.7 * 0.3 * noise.float())  # as rounded noise would have given
    released = noised(total, 0.3, 1.7, Secure(numbered()), "0.0", 1)
    assert released.dtype == torch.float32 and torch.equal(released, exact.float())


def test_what_follows_from_a_secret_is_what_it_was():
    """Runs before this one go on with the same noise, bit for bit."""
    total, source = torch.linspace(-3, 3, 1000), Keyed(KEY)
    weight = torch.nn.Parameter(torch.zeros(1000))
    update = DPAdamW(AdamW([weight], Schedule(1, 1e-2)), Bounds(0.3, 1.7, 1.0), source, lambda *_: [])
    update.adam.advance = lambda: None  # type: ignore
    update.along([total])
    assert weight.grad is not None
    assert torch.equal(weight.grad, total.clone().add_(source.normal(total, 0, 0), alpha=1.7 * 0.3))


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    with pytest.raises(ResourceError, match=r"cryptography, which is not installed.*dilm\[privacy\]"):
        Secure()
