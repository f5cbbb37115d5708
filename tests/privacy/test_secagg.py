"""Flower's SecAgg+ with our masks, both ends in this process: exact sums, with holders lost at every message."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

pytest.importorskip("flwr")

from dilm.privacy import secagg
from dilm.privacy.federation import MODULUS, Scale
from dilm.privacy.secagg import Holder, Question, secure_sum

SCALE = Scale.of(8.0, 0.0, 4)
NUMBERS = 50
SETUP, SHARE_KEYS, COLLECT, UNMASK = range(1, 5)
"""The messages of a round."""

Lost = Callable[[int, int], bool]
"""(holder, message) -> whether it gives no answer from then on."""


def sums_of(seed: int) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {number: rng.uniform(-9, 9, NUMBERS) for number in (7, 11, 13, 2**40)}


class Table:
    """Who sits where, and every message that passed."""

    def __init__(self, sums: Mapping[int, np.ndarray], lost: Lost = lambda holder, message: False) -> None:
        self.holders = {at: Holder(lambda asked, arrays, at=at: SCALE.on_grid(sums[at])) for at in sums}
        self.lost, self.message = lost, 0
        self.seen: list[Mapping[int, bytes]] = []

    def carry(self, messages: Mapping[int, bytes]) -> dict[int, bytes]:
        self.message += 1
        here = {at: message for at, message in messages.items() if not self.lost(at, self.message)}
        self.seen.append({at: self.holders[at].answer(message) for at, message in here.items()})
        return dict(self.seen[-1])

    def sum(self, least: int = 2) -> tuple[np.ndarray, int] | None:
        self.message = 0
        return secure_sum(list(self.holders), least, Question({"what": "test"}, [np.ones(3)], SCALE), self.carry)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_aggregate_is_the_sum_of_what_stood_on_the_grids(count: int):
    sums = dict(list(sums_of(0).items())[:count])
    total, answered = Table(sums).sum() or (None, 0)
    assert answered == count
    assert np.array_equal(total, sum(SCALE.on_grid(each) for each in sums.values()))
    assert np.abs(total - sum(np.clip(each, -8, 8) for each in sums.values())).max() <= count * SCALE.step / 2


@pytest.mark.parametrize("message", [COLLECT, UNMASK])
def test_a_holder_that_is_lost_in_the_middle_of_a_round(message: int):
    """Before its answer: the rest is unmasked without it. After it: with it, for others hold shares of its keys."""
    sums = sums_of(1)
    total, answered = Table(sums, lambda at, when: at == 11 and when >= message).sum() or (None, 0)
    left = [each for at, each in sums.items() if at != 11 or message == UNMASK]
    assert answered == len(left)
    assert np.array_equal(total, sum(map(SCALE.on_grid, left)))


@pytest.mark.parametrize("message", [SETUP, SHARE_KEYS])
def test_a_round_in_which_keys_are_missing_comes_to_nothing_and_the_next_does_not(message: int):
    sums = sums_of(2)
    table = Table(sums, lambda at, when: at == 13 and when == message)
    assert table.sum() is None
    table.lost = lambda at, when: False
    total, answered = table.sum() or (None, 0)
    assert answered == 4 and np.array_equal(total, sum(map(SCALE.on_grid, sums.values())))


def test_fewer_than_the_least_are_never_unmasked():
    assert Table(sums_of(3), lambda at, when: at in (7, 13) and when >= COLLECT).sum(least=3) is None
    assert Table(sums_of(3), lambda at, when: at == 7 and when >= COLLECT).sum(least=4) is None
    assert Table(sums_of(3), lambda at, when: at == 7 and when >= COLLECT).sum(least=3) is not None


def test_no_answer_shows_what_is_in_it():
    """Masked answers of all zeros are evenly spread, and have nothing in common from round to round."""
    from flwr.common import bytes_to_ndarray

    table, masked = Table(dict.fromkeys((1, 2, 3), np.zeros(20_000))), []
    for _ in range(2):
        table.seen.clear()
        assert table.sum() is not None
        config = secagg._unpacked(table.seen[COLLECT - 1][2]).content.config_records["secaggplus_configs"]
        masked.append(bytes_to_ndarray(config["masked_params"][1]))
    for each in masked:
        assert each.min() >= 0 and each.max() < MODULUS
        assert np.abs(np.bincount(each >> 29, minlength=8) - 2500).max() < 5 * np.sqrt(2500)
    assert not (masked[0] == masked[1]).any()


def test_every_answer_says_the_same_of_how_many_rows_it_is_made():
    """Flower's own clients tell the server their numbers of rows in the clear, beside the masks."""
    from flwr.compat.common.recorddict_compat import recorddict_to_fitres

    table = Table(sums_of(4))
    assert table.sum() is not None
    told = [recorddict_to_fitres(secagg._unpacked(each).content, True) for each in table.seen[COLLECT - 1].values()]
    assert {each.num_examples for each in told} == {secagg.WEIGHT} and not any(each.metrics for each in told)
    assert all(not each.parameters.tensors for each in told)


def test_a_fault_in_a_holders_own_sum_is_its_own_and_not_the_rounds():
    holder = Holder(lambda asked, arrays: 1 / 0)
    others = {at: Holder(lambda asked, arrays: SCALE.on_grid(np.zeros(3))) for at in (1, 2)}
    everyone = {**others, 3: holder}
    with pytest.raises(ZeroDivisionError):
        secure_sum([1, 2, 3], 2, Question({}, [], SCALE), lambda m: {at: everyone[at].answer(m[at]) for at in m})
