"""The mixed model finds known variances, is the textbook's where that has a closed form, and shrinks rightly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.errors import DataError
from dilm.numerics.effects import Effects, fit_effects

SETS, SEEDS, REST = 0.03, 0.02, 0.015


def crossed(rng: np.random.Generator, sets: int, seeds: int, spread: tuple[float, float, float]) -> np.ndarray:
    """Scores of every set with every seed around 0.7: [sets, seeds]."""
    of_sets, of_seeds, rest = spread
    effects = rng.normal(0, of_sets, (sets, 1)) + rng.normal(0, of_seeds, seeds)
    return 0.7 + effects + rng.normal(0, rest, (sets, seeds))


def fitted(table: np.ndarray, known: np.ndarray | None = None) -> Effects:
    """Of the scores that are known; without `known` all."""
    at = np.argwhere(np.ones(table.shape, bool) if known is None else known)
    return fit_effects(table[tuple(at.T)].tolist(), at[:, 0].tolist(), at[:, 1].tolist())


def anova(table: np.ndarray) -> tuple[float, float, float]:
    """Variances of sets, seeds and rest by the two-way analysis of variance without replication."""
    sets, seeds = table.shape
    rows, columns = table.mean(1, keepdims=True), table.mean(0, keepdims=True)
    rest = np.sum((table - rows - columns + table.mean()) ** 2) / ((sets - 1) * (seeds - 1))
    between = seeds * np.var(rows, ddof=1), sets * np.var(columns, ddof=1)
    return (between[0] - rest) / seeds, (between[1] - rest) / sets, rest


@given(seed=st.integers(0, 999), sets=st.integers(3, 8), seeds=st.integers(3, 6))
@settings(max_examples=15, deadline=None)
def test_balanced_scores_give_the_analysis_of_variance_and_its_shrinkage(seed: int, sets: int, seeds: int):
    table = crossed(np.random.default_rng(seed), sets, seeds, (SETS, SEEDS, REST))
    wanted, found = anova(table), fitted(table)
    if min(wanted) < 1e-5:  # a variance that would be negative is 0, and the others differ then
        return
    assert (found.sets**2, found.seeds**2, found.rest**2) == pytest.approx(wanted, rel=1e-3)  # type: ignore[operator]
    kept = wanted[0] / (wanted[0] + wanted[2] / seeds)
    expected = table.mean() + kept * (table.mean(1) - table.mean())
    assert found.means == pytest.approx(expected, abs=1e-6)


def test_variances_that_are_known_are_found_on_average_though_scores_are_missing():
    """As in a race: the poorer half of the sets is trained on less, because it is poorer."""
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        table = crossed(rng, 10, 8, (SETS, SEEDS, REST))
        first = table[:, :3].mean(1)
        known = (first >= np.median(first))[:, None] | (np.arange(8) < 3)
        effects = fitted(table, known)
        found.append([effects.sets**2, effects.seeds**2, effects.rest**2])  # type: ignore[operator]
    assert np.mean(found, axis=0) == pytest.approx([SETS**2, SEEDS**2, REST**2], rel=0.2)


def test_the_estimate_of_a_set_is_nearer_its_worth_than_its_mean_and_its_error_is_what_it_says():
    rng, ours, plain, scaled = np.random.default_rng(1), [], [], []
    for _ in range(40):
        worth = 0.7 + rng.normal(0, 0.01, 12)
        table = worth[:, None] + rng.normal(0, 0.03, 3) + rng.normal(0, 0.03, (12, 3))
        found = fit_effects(table.ravel().tolist(), np.repeat(range(12), 3).tolist(), [0, 1, 2] * 12)
        level = table.mean() - worth.mean()  # what these three seeds did to all, which nothing can tell
        ours.append(np.mean((found.means - level - worth) ** 2))
        plain.append(np.mean((table.mean(1) - level - worth) ** 2))
        scaled.append(np.mean(((found.means - worth) / found.errors) ** 2))
    assert np.mean(ours) < 0.6 * np.mean(plain)
    assert 0.7 < np.median(scaled) < 1.6


def test_common_seeds_are_taken_from_the_sets_that_met_them():
    """Set 1 met the lucky seed only, set 0 both: its lead is luck, and the model sees it."""
    lucky, plain = 0.1, 0.0
    rows = [(s, seed, luck) for s in range(6) for seed, luck in ((0, plain), (1, lucky)) if s != 1 or seed == 1]
    jitter = np.random.default_rng(2).normal(0, 0.01, len(rows))
    scores = [0.6 + 0.02 * (s % 3) + luck + noise for (s, _, luck), noise in zip(rows, jitter, strict=True)]
    found = fit_effects(scores, [s for s, *_ in rows], [seed for _, seed, _ in rows])
    assert abs(found.means[1] - found.means[4]) < 0.03 and found.seeds is not None and found.seeds > 0.05
    assert found.errors[1] > found.errors[4]


def test_groups_keep_their_own_means():
    rng = np.random.default_rng(3)
    table = crossed(rng, 8, 4, (0.001, 0.01, 0.01)) + np.repeat([0.0, 0.2], 4)[:, None]
    at = np.argwhere(np.ones(table.shape, bool))
    names = at[:, 0].tolist(), at[:, 1].tolist()
    apart = fit_effects(table.ravel().tolist(), *names, groups=(at[:, 0] // 4).tolist())
    together = fit_effects(table.ravel().tolist(), *names)
    assert apart.sets < 0.03 < 0.08 < together.sets
    assert apart.means[4:].mean() - apart.means[:4].mean() == pytest.approx(0.2, abs=0.02)


def test_seeds_that_met_one_set_each_are_part_of_the_rest():
    found = fit_effects([0.5, 0.6, 0.8, 0.7], sets=[0, 0, 1, 1], seeds=[0, 1, 2, 3])
    assert found.seeds is None and found.rest == pytest.approx(0.0707, abs=1e-3)


def test_equal_scores_have_no_variance_and_their_own_mean():
    found = fit_effects([0.5] * 6, [0, 0, 1, 1, 2, 2], [0, 1] * 3)
    assert (found.sets, found.seeds, found.rest) == (0, 0, 0)
    assert found.means.tolist() == pytest.approx([0.5] * 3) and found.errors.tolist() == pytest.approx([0] * 3)


@pytest.mark.parametrize(("sets", "seeds"), [([0, 1, 2], [0, 0, 0]), ([0, 0, 0], [0, 1, 2]), ([0], [0])])
def test_scores_that_cannot_tell_sets_from_luck_are_refused(sets: list[int], seeds: list[int]):
    with pytest.raises(DataError, match="tell sets from luck"):
        fit_effects([0.1 * place for place, _ in enumerate(sets)], sets, seeds)
