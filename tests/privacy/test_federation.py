"""What holders put on their grids, and what masks and noise promise: laws of the pure part."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.errors import PrivacyError, RunError
from dilm.privacy.federation import (
    CENTRAL,
    DISTRIBUTED,
    FINEST,
    MODULUS,
    Scale,
    Terms,
    least_of,
    shares,
    threat_model,
)
from dilm.privacy.secagg import stretched
from dilm.types import Task

FILMS = Task("films", ("text",), ("bad", "good"), max_tokens=16)
AGREED = Terms(asdict(FILMS), 3, 2, CENTRAL, 0.0, 0.0, 0, "all", "fp32")
SUMS = st.lists(st.floats(-50, 50, allow_nan=False), min_size=1, max_size=20)
SIGNALS, HOLDERS = st.floats(1e-3, 1e6), st.integers(2, 64)


@given(SIGNALS, st.floats(0, 1e3), HOLDERS)
def test_the_sum_of_all_holders_stays_below_the_modulus(signal: float, noise: float, holders: int):
    scale = Scale.of(signal, noise, holders)
    assert math.log2(scale.reach).is_integer() and math.log2(scale.levels).is_integer()
    assert scale.reach >= signal + 12 * noise
    assert holders * scale.levels < MODULUS


@given(SUMS, SIGNALS, HOLDERS)
def test_rounding_to_the_grid_moves_a_number_by_half_a_step(values: list[float], signal: float, holders: int):
    scale = Scale.of(signal, 0.0, holders)
    found, inside = scale.on_grid(np.array(values)), np.clip(values, -signal, signal)
    assert np.abs(found - inside).max() <= scale.step / 2
    assert np.array_equal(np.round(found / scale.step), found / scale.step)  # nothing is left for Flower to round


@given(st.lists(SUMS.map(lambda each: (each * 20)[:20]), min_size=2, max_size=9))
def test_the_aggregate_is_the_plain_sum_within_quantisation(answers: list[list[float]]):
    """As integers modulo 2**32, in any order: what the masked protocol adds up."""
    scale, plain = Scale.of(64.0, 0.0, len(answers)), np.sum(answers, 0)
    whole = [np.round((scale.on_grid(np.array(each)) + scale.reach) / scale.step).astype(np.int64) for each in answers]
    total = np.sum(whole[::-1], 0) % MODULUS
    found = total * scale.step - len(answers) * scale.reach
    assert np.abs(found - plain).max() <= len(answers) * scale.step / 2 + 1e-9


@given(SUMS, st.floats(0.01, 10), st.integers(0, 2**32 - 1))
def test_no_row_moves_a_sum_on_the_grid_further_than_is_counted(values: list[float], clip: float, seed: int):
    before = np.array(values)
    direction = np.random.default_rng(seed).normal(size=len(values))
    after = before + clip * direction / np.linalg.norm(direction)
    scale = Scale.of(40.0, 0.0, 3)  # clips some of them
    moved = np.linalg.norm(scale.on_grid(after) - scale.on_grid(before))
    assert moved <= scale.widened(clip, len(values)) + 1e-9


def test_what_is_not_a_number_spoils_nothing():
    scale = Scale.of(4.0, 0.0, 3)
    assert scale.on_grid(np.array([np.nan, np.inf, -np.inf, 1.0])).tolist() == [0.0, 4.0, -4.0, 1.0]


@given(st.floats(0.3, 30), st.integers(3, 20), st.integers(1, 10**6))
def test_noise_is_enough_where_only_the_least_answer(noise: float, clients: int, numbers: int):
    terms = replace(AGREED, noise=DISTRIBUTED, clients=clients, least=least_of(clients), epsilon=1.0)
    way = shares(1.0, 64.0, noise, numbers, terms)
    assert math.sqrt(terms.least) * way.each == pytest.approx(noise * way.sensitivity)
    assert way.after == 0 and way.each >= FINEST * way.scale.step
    assert way.sensitivity == way.scale.widened(1.0, numbers)
    central = shares(1.0, 64.0, noise, numbers, replace(terms, noise=CENTRAL))
    assert central.each == 0 and central.after == pytest.approx(noise * central.sensitivity)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_noise_on_the_grid_has_the_scale_that_was_asked_for(seed: int):
    way = shares(1.0, 64.0, 2.0, 4000, replace(AGREED, noise=DISTRIBUTED, epsilon=1.0))
    rng = np.random.default_rng(seed)
    drawn = [way.scale.with_noise(np.zeros(4000), way.each * rng.standard_normal(4000)) for _ in range(AGREED.least)]
    assert np.std(np.sum(drawn, 0)) == pytest.approx(2.0 * way.sensitivity, rel=0.06)


def test_noise_finer_than_the_grid_is_refused():
    terms = replace(AGREED, noise=DISTRIBUTED, epsilon=1.0)
    with pytest.raises(PrivacyError, match="too small for a grid"):
        shares(1.0, 1e9, 1e-2, 10, terms)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 255))
def test_a_mask_follows_from_every_bit_of_its_key(key: bytes, bit: int):
    other = bytearray(key)
    other[bit // 8] ^= 1 << bit % 8
    shapes = [(40,), (2, 3), ()]
    ours, theirs = stretched(key, MODULUS, shapes), stretched(bytes(other), MODULUS, shapes)
    assert [each.shape for each in ours] == shapes
    assert not np.array_equal(ours[0], theirs[0])
    assert all(each.min() >= 0 and each.max() < MODULUS for each in ours)
    assert np.array_equal(ours[0], stretched(key, MODULUS, shapes)[0])


def test_masks_are_even():
    (mask,) = stretched(b"k" * 32, MODULUS, [(100_000,)])
    counts = np.bincount(mask >> 28, minlength=16)
    assert np.abs(counts - 6250).max() < 5 * math.sqrt(6250)


def test_flowers_own_masks_forget_most_of_their_key():
    """Why they are replaced: two keys with the same 32 bits left have the same mask."""
    flower = pytest.importorskip("flwr.common.secure_aggregation.secaggplus_utils").pseudo_rand_gen
    one, other = b"\1\0\0\0" + bytes(28), bytes(28) + b"\1\0\0\0"
    assert np.array_equal(flower(one, MODULUS, [(9,)])[0], flower(other, MODULUS, [(9,)])[0])
    assert not np.array_equal(stretched(one, MODULUS, [(9,)])[0], stretched(other, MODULUS, [(9,)])[0])


def test_terms_are_read_back_and_those_of_another_version_refused():
    assert Terms.read(AGREED.text()).about == FILMS
    assert asdict(Terms.read(AGREED.text())) == json.loads(AGREED.text())
    with pytest.raises(RunError, match=r"The server runs dilm 9\.9"):
        Terms.read(replace(AGREED, version="9.9").text())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "This is not differential privacy"),
        ({"epsilon": 3.0}, "the server adds the noise to each sum, and sees it without"),
        ({"epsilon": 3.0, "noise": DISTRIBUTED}, "every holder adds its share of the noise before masking"),
    ],
)
def test_the_threat_model_says_who_is_trusted_and_what_is_hidden(changes: dict, said: str):
    told = " ".join(threat_model(replace(AGREED, **changes)))
    assert said in told
    for always in ("curious but follow the protocol", "32 bits", "rounded to a grid", "not what the sum itself says"):
        assert always in told


@given(st.integers(3, 64))
def test_of_two_each_would_see_the_others_sum_so_three_must_answer(clients: int):
    assert 3 <= least_of(clients) <= clients and least_of(clients, 2) == 2
    told = " ".join(threat_model(replace(AGREED, clients=3, least=2)))
    assert "each of them sees the other's sum" in told
    assert "each of them sees" not in " ".join(threat_model(replace(AGREED, clients=3, least=3)))
