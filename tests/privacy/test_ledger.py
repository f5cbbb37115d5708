"""The ledger: what is added up, against formulas and other accountants, and what a kill or a second time changes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from dp_accounting.pld import privacy_loss_distribution
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import PRVAccountant, RDPAccountant
from scipy.optimize import brentq
from scipy.stats import norm

from dilm.errors import PrivacyError
from dilm.privacy.ledger import Budget, Entry, Ledger, Mechanism, calibrated, spent

DELTA = 1e-5
FIT, TARGET = Mechanism(0.01, 0.8, 500), Mechanism(1.0, 4.0, 5)
MIXES = [(FIT,), (TARGET,), (FIT, TARGET), (Mechanism(0.05, 1.0, 1000),)]


def google(mechanisms: tuple[Mechanism, ...]) -> float:
    """Epsilon by dp-accounting's privacy loss distributions, in both directions of adding and removing a row."""
    parts = [
        privacy_loss_distribution.from_gaussian_mechanism(
            each.noise, sampling_prob=each.rate, value_discretization_interval=1e-3
        ).self_compose(each.steps)
        for each in mechanisms
    ]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.compose(part)
    return whole.get_epsilon_for_delta(DELTA)


def analytic(noise: float) -> float:
    """Epsilon of one Gaussian mechanism, exactly (Balle and Wang 2018, theorem 8)."""

    def delta(epsilon: float) -> float:
        return norm.cdf(0.5 / noise - epsilon * noise) - math.exp(epsilon) * norm.cdf(-0.5 / noise - epsilon * noise)

    return brentq(lambda epsilon: delta(epsilon) - DELTA, 0, 100)


@pytest.mark.parametrize("mix", MIXES)
def test_opacus_and_googles_accountant_agree(mix: tuple[Mechanism, ...]):
    tight, loose = spent(mix, DELTA), spent(mix, DELTA, "rdp")
    assert google(mix) <= tight <= google(mix) + 0.02
    assert tight < loose < 1.3 * tight
    for name, made in (("prv", PRVAccountant()), ("rdp", RDPAccountant())):
        made.history = [(each.noise, each.rate, each.steps) for each in mix]
        assert spent(mix, DELTA, name) == pytest.approx(made.get_epsilon(delta=DELTA), rel=1e-6)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0, 8.0])
def test_without_sampling_it_is_the_formula_of_the_gaussian_mechanism(noise: float):
    assert analytic(noise) <= spent([Mechanism(1.0, noise, 1)], DELTA) <= analytic(noise) + 0.02
    several = Mechanism(1.0, noise * math.sqrt(7), 7)  # seven are one with less noise
    assert spent([several], DELTA) == pytest.approx(spent([Mechanism(1.0, noise, 1)], DELTA), abs=0.02)


def test_the_noise_of_a_published_example():
    """shared/STACK.md: epsilon 3, rate .01, 500 steps, delta 1e-5: RDP 0.798, PRV 0.744, Google's PLD 0.743."""
    found = {name: calibrated(Budget(3, DELTA, name), 0.01, 500) for name in ("rdp", "prv")}
    assert found["rdp"] == pytest.approx(0.798, abs=1e-3) and found["prv"] == pytest.approx(0.744, abs=1e-3)
    assert google((Mechanism(0.01, found["prv"], 500),)) <= 3


rates, noises, counts = st.floats(0.01, 1.0), st.floats(0.6, 10.0), st.integers(1, 300)


@settings(max_examples=10, deadline=None)
@given(rate=rates, noise=noises, steps=counts, more=counts)
def test_more_steps_or_less_noise_never_cost_less(rate: float, noise: float, steps: int, more: int):
    one = spent([Mechanism(rate, noise, steps)], DELTA, "rdp")
    assert spent([Mechanism(rate, noise, steps + more)], DELTA, "rdp") >= one
    assert spent([Mechanism(rate, noise * 1.5, steps)], DELTA, "rdp") <= one
    both = spent([Mechanism(rate, noise, steps), Mechanism(1.0, 5.0, more)], DELTA, "rdp")
    assert both >= max(one, spent([Mechanism(1.0, 5.0, more)], DELTA, "rdp"))


@settings(max_examples=6, deadline=None)
@given(epsilon=st.floats(0.5, 20), rate=rates, steps=counts)
def test_calibration_turns_accounting_round(epsilon: float, rate: float, steps: int):
    noise = calibrated(Budget(epsilon, DELTA, "rdp"), rate, steps)
    assert spent([Mechanism(rate, noise, steps)], DELTA, "rdp") <= epsilon
    if noise > 0.02:
        assert spent([Mechanism(rate, noise / 1.01, steps)], DELTA, "rdp") > epsilon


def test_what_stands_beside_is_paid_for_too():
    noise = calibrated(Budget(8, DELTA), 0.1, 50, [TARGET])
    assert spent([TARGET, Mechanism(0.1, noise, 50)], DELTA) <= 8
    with pytest.raises(PrivacyError, match="No noise keeps"):
        calibrated(Budget(1, DELTA), 0.1, 50, [Mechanism(1.0, 0.5, 1)])


def test_no_noise_is_no_privacy_and_nothing_costs_nothing():
    assert spent([Mechanism(0.5, 0.0, 1)], DELTA) == math.inf
    assert spent([], DELTA) == spent([Mechanism(0.5, 0.0, 0)], DELTA) == 0


def entry(steps: int) -> Entry:
    return Entry("fit", "fit (DP-SGD)", Mechanism(0.1, 1.0, steps))


def test_the_ledger_outlives_its_process_and_counts_the_same_release_once(tmp_path: Path):
    file = tmp_path / "privacy.json"
    Ledger(file, Budget(8, DELTA, "rdp")).charge("a 0-10", entry(10))
    again = Ledger(file, Budget(8, DELTA, "rdp"))
    one = again.epsilon
    again.charge("a 0-10", entry(10))
    assert again.epsilon == one == spent([Mechanism(0.1, 1.0, 10)], DELTA, "rdp")
    again.charge("b 0-10", entry(10))  # made anew with other noise
    assert again.epsilon == spent([Mechanism(0.1, 1.0, 20)], DELTA, "rdp") > one


def test_what_would_exceed_the_budget_is_neither_done_nor_written(tmp_path: Path):
    book = Ledger(tmp_path / "privacy.json", Budget(4, DELTA, "rdp"))
    book.charge("a", entry(10))
    before = book.file.read_bytes()
    with pytest.raises(PrivacyError, match="beyond its budget of 4"):
        book.charge("b", entry(100_000))
    assert book.file.read_bytes() == before


def test_a_half_written_ledger_is_never_met(tmp_path: Path):
    book = Ledger(tmp_path / "privacy.json", Budget(4, DELTA, "rdp"))
    book.charge("a", entry(10))
    (tmp_path / "privacy.json.part").write_text("{ half", encoding="utf-8")  # a kill in the middle of the next write
    assert list(book.entries) == ["a"]
