"""Baselines from the literature on data selection: EL2N, Moderate, gradient matching, facility location."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.coresets.el2n import EL2N
from dilm.coresets.facility_location import FacilityLocation
from dilm.coresets.gradient_matching import GradientMatching
from dilm.coresets.moderate import Moderate
from dilm.errors import DataError, RecipeError
from dilm.numerics.pursuit import unmatched
from dilm.protocols import Selector
from dilm.types import Dataset, Example, Task

TASK = Task("points", ("text",), ("no", "yes"))
seeds = st.integers(0, 99)


def points_of(examples: Sequence[Example]) -> np.ndarray:
    """Reads the text "x y z" as the point (x, y, z): float32 [n, 3]."""
    return np.array([[float(part) for part in row.texts[0].split()] for row in examples], dtype=np.float32)


@dataclass
class Space:
    """An encoder, a judge and a source of gradients at once, that remembers how often it was asked."""

    tilt: tuple[float, float, float] = (1.0, 0.5, 0.0)
    calls: list[int] = field(default_factory=list)

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        self.calls.append(len(examples))
        return points_of(examples)

    def gradients(self, examples: Sequence[Example]) -> torch.Tensor:
        return torch.from_numpy(self.encode(examples))

    def probabilities(self, examples: Sequence[Example]) -> torch.Tensor:
        """Logistic in the direction of `tilt`."""
        logits = torch.from_numpy(self.encode(examples) @ np.array(self.tilt, dtype=np.float32))
        return torch.stack([-logits, logits], dim=1).softmax(dim=1)


METHODS = {
    "el2n": lambda space: EL2N([space, Space((0.0, 1.0, 1.0))]),
    "moderate": Moderate,
    "gradient_matching": lambda space: GradientMatching(space, cloud(40, seed=1)),
    "facility_location": FacilityLocation,
}
every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS.keys())


def cloud(rows: int, seed: int = 0) -> Dataset:
    points = np.random.default_rng(seed).normal(size=(rows, 3)) + 0.5
    return Dataset(TASK, [Example((f"{x:.5f} {y:.5f} {z:.5f}",), row % 2) for row, (x, y, z) in enumerate(points)])


def chosen(selector: Selector, pool: Dataset, per_class: int) -> Dataset:
    return selector(pool, per_class, np.random.default_rng(0)).apply(pool)


@every_method
@given(seed=seeds, per_class=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_does_not_matter(make, seed, per_class):
    pool = cloud(120, seed)  # among far fewer, two rows that stand for each other only would often tie
    shuffled = pool.take(np.random.default_rng(seed).permutation(120).tolist())
    kept, again = (chosen(make(Space()), rows, per_class) for rows in (pool, shuffled))
    assert kept.counts == (per_class, per_class)
    assert list(kept) == list(again)


@every_method
def test_nothing_is_asked_of_a_model_for_a_class_that_is_too_small(make):
    space = Space()
    with pytest.raises(DataError, match="Class 'no' has 3 rows, but 4 per class"):
        make(space)(cloud(6), 4, np.random.default_rng(0))
    assert not space.calls


def test_el2n_keeps_the_rows_that_its_judges_are_most_wrong_about():
    pool = cloud(60)
    one, other = Space((1.0, 0.0, 0.0)), Space((0.0, 2.0, 0.0))
    kept = chosen(EL2N([one, other]), pool, 5)
    for label in TASK.conditions:
        rows = pool.of(label)
        wrong = [1 - judge.probabilities(rows)[:, label] for judge in (one, other)]
        order = (wrong[0] + wrong[1]).argsort(descending=True)  # of two classes, the norm is that times the root of 2
        assert kept.of(label).examples == rows.take(order[:5].tolist()).examples


def test_el2n_finds_mislabelled_rows():
    sure = [Example((f"{side * size} 0 0",), int(side > 0)) for side in (-1, 1) for size in range(1, 20)]
    wrong = [Example(("8.5 0 0",), 0), Example(("-8.5 0 0",), 1)]
    assert list(chosen(EL2N([Space()]), Dataset(TASK, sure + wrong), 1)) == wrong


def test_el2n_asks_each_judge_once_for_the_whole_pool():
    judges = [Space(), Space()]
    chosen(EL2N(judges), cloud(30), 3)
    assert [judge.calls for judge in judges] == [[30], [30]]


def test_el2n_without_judges_is_refused():
    with pytest.raises(RecipeError, match="no judges"):
        chosen(EL2N([]), cloud(10), 2)


@given(seed=seeds, rows=st.integers(5, 20))
@settings(max_examples=25, deadline=None)
def test_moderate_is_the_plain_computation(seed, rows):
    pool = cloud(4 * rows + 2, seed)  # an odd number in each class: the median is one of its rows
    kept = chosen(Moderate(Space()), pool, 5)
    for label in TASK.conditions:
        points = points_of(pool.of(label)).astype(np.float64)
        distances = np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1))
        off = np.abs(distances - np.median(distances))
        assert kept.of(label).examples == pool.of(label).take(np.argsort(off)[:5].tolist()).examples


def test_moderate_avoids_the_centre_and_the_edge():
    ring = [(np.cos(angle), np.sin(angle), 0.0) for angle in np.linspace(0, 6, 21)]
    points = [(0.0, 0.0, 0.0)] * 8 + [(9.0, 0.0, 0.0), (-9.0, 0.0, 0.0)] * 4 + ring
    rows = [Example((f"{x + row / 1e6} {y} {z}",), 0) for row, (x, y, z) in enumerate(points)]
    pool = Dataset(Task("points", ("text",), ("only",)), rows)
    lengths = np.linalg.norm(points_of(chosen(Moderate(Space()), pool, 10)), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=0.2)


def test_gradient_matching_asks_once_for_the_different_texts_of_each_class():
    pool, real = cloud(20), cloud(40, seed=1)
    space = Space()
    matching = GradientMatching(space, real)
    for _ in range(2):
        chosen(matching, Dataset(TASK, [*pool, pool[0], pool[0], pool[1]]), 3)
    assert space.calls == [20, 10, 20, 10, 10, 10], "of real rows once, of every pool its different texts"


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_gradient_matching_leaves_less_of_the_class_unmatched_than_chance(seed):
    pool = cloud(200, seed)
    rng = np.random.default_rng(seed)
    few = chosen(GradientMatching(Space(), pool), pool, 2)
    for label in TASK.conditions:
        points = points_of(pool.of(label))
        target = points.mean(axis=0)
        drawn = [points[rng.choice(100, 2, replace=False)] for _ in range(10)]
        gaps = [np.linalg.norm(unmatched(rows, target)) for rows in (points_of(few.of(label)), *drawn)]
        assert gaps[0] < 0.2 * np.mean(gaps[1:])


def test_facility_location_represents_the_class_better_than_chance():
    pool = cloud(200)
    rng = np.random.default_rng(0)
    for label in TASK.conditions:
        points = points_of(pool.of(label))
        kept = points_of(chosen(FacilityLocation(Space()), pool, 8).of(label))
        drawn = [points[rng.choice(100, 8, replace=False)] for _ in range(20)]
        gaps = [((points[:, None] - few) ** 2).sum(axis=2).min(axis=1).mean() for few in (kept, *drawn)]
        assert gaps[0] < min(gaps[1:])


def test_a_sample_stands_for_a_large_class_and_its_seed_decides():
    pool = cloud(400)
    whole, sampled, again, other = (
        chosen(FacilityLocation(Space(), *setting), pool, 6).examples for setting in ((200,), (40,), (40, 0), (40, 1))
    )
    assert whole == chosen(FacilityLocation(Space()), pool, 6).examples
    assert sampled == again != other
    assert sampled != whole
