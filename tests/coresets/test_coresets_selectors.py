"""What every coreset method promises, and what each of them promises besides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plane import TASK, Plane, chosen, cloud, pool_of, probed

from dilm.coresets.cynical import Cynical
from dilm.coresets.distinct import Distinct
from dilm.coresets.distribution_matching import DistributionMatching
from dilm.coresets.el2n import EL2N
from dilm.coresets.facility_location import FacilityLocation
from dilm.coresets.farthest_first import FarthestFirst
from dilm.coresets.filtered import Filtered
from dilm.coresets.gradient_matching import GradientMatching
from dilm.coresets.herding import Herding
from dilm.coresets.kmeans_nearest import KMeansNearest
from dilm.coresets.likeliest import Likeliest
from dilm.coresets.moderate import Moderate
from dilm.coresets.nearest_rows import NearestRows
from dilm.coresets.raced import Raced
from dilm.coresets.random import Random
from dilm.coresets.typical import Typical
from dilm.coresets.validated import Validated
from dilm.errors import DataError, RecipeError
from dilm.protocols import Selector
from dilm.types import Dataset, Example, Selection, Task


@dataclass
class Distance:
    """A generator that finds a text the likelier the nearer its point is to the origin."""

    weight: torch.Tensor = field(default_factory=lambda: torch.ones((), requires_grad=True))
    batches: list[int] = field(default_factory=list)
    task: Task = TASK

    def nll(self, examples: Sequence[Example]) -> torch.Tensor:
        self.batches.append(len(examples))
        nll = self.weight * torch.from_numpy(np.linalg.norm(Plane().encode(examples), axis=1))
        assert not nll.requires_grad, "ranking needs no gradients"
        return nll


class Slope:
    """A learner whose gradient at a row is the row's point, and that finds "odd" the likelier the larger x is."""

    def gradients(self, examples: Sequence[Example]) -> torch.Tensor:
        return torch.from_numpy(Plane().encode(examples))

    def probabilities(self, examples: Sequence[Example]) -> torch.Tensor:
        odd = self.gradients(examples)[:, 0].sigmoid()
        return torch.stack([1 - odd, odd], dim=1)


@dataclass
class NearestToSome:
    """The rows nearest to as many texts as rows are wanted."""

    encoder: Plane = field(default_factory=Plane)
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        return NearestRows(self.encoder, cloud(2 * per_class, seed=7))(pool, per_class, rng)


def _mean_x(trainings: Sequence[tuple[Dataset, int]]) -> list[float]:
    """Scores of trainings that have no luck."""
    return [float(Plane().encode(rows)[:, 0].mean()) for rows, _ in trainings]


METHODS: dict[str, Callable[[], Selector]] = {
    "random": Random,
    "kmeans_nearest": lambda: KMeansNearest(Plane()),
    "farthest_first": lambda: FarthestFirst(Plane()),
    "herding": lambda: Herding(Plane()),
    "distribution_matching": lambda: DistributionMatching([Plane()], cloud(40, seed=5)),
    "typical": lambda: Typical(Plane(), probed(cloud(40, seed=9))),
    "validated": lambda: Validated(Plane(), Random(), cloud(40, seed=8), draws=3, swaps=12),
    "likeliest": lambda: Likeliest(Distance(), batch=7),
    "facility_location": lambda: FacilityLocation(Plane()),
    "gradient_matching": lambda: GradientMatching(Slope(), cloud(40, seed=5)),
    "moderate": lambda: Moderate(Plane()),
    "cynical": lambda: Cynical(cloud(40, seed=6)),
    "el2n": lambda: EL2N([Slope()]),
    "nearest": NearestToSome,
    "distinct": lambda: Distinct(Plane(), Random(), 0.9999),
    "filtered": lambda: Filtered({"short": lambda pool: Plane().encode(pool)[:, 0]}, Random()),
    "raced": lambda: Raced([Random()], _mean_x, candidates=3, seeds=2),
}
every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS.keys())
INDIFFERENT = ("herding", "likeliest", "nearest")
indifferent = pytest.mark.parametrize("make", [METHODS[name] for name in INDIFFERENT], ids=INDIFFERENT)


@every_method
@given(rows=st.integers(2, 60), seed=st.integers(0, 99), data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_selection_has_k_distinct_rows_of_each_class_in_class_order(make, rows, seed, data):
    pool = cloud(rows, seed)
    per_class = data.draw(st.integers(1, rows // 2))
    selection = make()(pool, per_class, np.random.default_rng(seed))
    assert len(set(selection.positions)) == 2 * per_class
    assert [pool[position].label for position in selection.positions] == [0] * per_class + [1] * per_class


@every_method
@given(texts=st.lists(st.integers(0, 5), min_size=8, max_size=40), data=st.data())
@settings(max_examples=25, deadline=None)
def test_no_text_is_kept_twice_while_the_class_has_others(make, texts, data):
    pool = pool_of(*[(f"{text} 0", 0) for text in texts], *[(f"{text} 1", 1) for text in texts])
    per_class = data.draw(st.integers(1, len(texts)))
    kept = chosen(make(), pool, per_class)
    for label in TASK.conditions:
        assert len(kept.of(label)) == per_class
        assert len({row.texts for row in kept.of(label)}) == min(per_class, len(set(texts)))


@every_method
def test_a_text_under_two_labels_is_kept_once_while_there_are_others(make):
    shared = [("0 0", 0), ("0 0", 1), ("1 0", 0), ("1 0", 1), ("0 1", 1), ("1 1", 1), ("2 2", 0), ("2 3", 0)]
    kept = chosen(make(), pool_of(*shared), per_class=2)
    assert len({row.texts for row in kept}) == 4


@every_method
def test_texts_at_the_same_point_are_still_distinct_rows(make):
    pool = pool_of(*[("1" + "0" * zeros + "e-" + str(zeros) + " 0", zeros % 2) for zeros in range(12)])
    assert len({row.texts for row in chosen(make(), pool, per_class=5)}) == 10


@every_method
def test_the_rng_decides_whether_sets_differ_just_as_varies_says(make):
    pool = cloud(80)
    sets = {frozenset(make()(pool, 5, np.random.default_rng(seed)).positions) for seed in range(5)}
    assert (len(sets) > 1) == make().varies
    again = [make()(pool, 5, np.random.default_rng(3)).positions for _ in range(2)]
    assert again[0] == again[1]


@every_method
def test_a_selection_refuses_another_pool(make):
    selection = make()(cloud(20, seed=0), 3, np.random.default_rng(0))
    with pytest.raises(DataError, match="belongs to pool"):
        selection.apply(cloud(20, seed=1))


@every_method
def test_too_small_a_class_is_named_with_its_count(make):
    selector = make()
    with pytest.raises(DataError, match="Class 'odd' has 1 rows, but 2 per class"):
        selector(pool_of(("0 0", 0), ("1 0", 0), ("2 0", 0), ("3 0", 1)), 2, np.random.default_rng(0))
    assert not getattr(getattr(selector, "encoder", None), "calls", []), "found out only after encoding the pool"


@every_method
def test_no_rows_per_class_is_no_request(make):
    with pytest.raises(RecipeError, match="at least 1"):
        make()(cloud(10), 0, np.random.default_rng(0))


@indifferent
@given(seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_methods_without_chance_do_not_mind_the_order_of_rows(make, seed):
    pool = cloud(40, seed)
    shuffled = pool.take(np.random.default_rng(seed).permutation(40).tolist())
    assert set(chosen(make(), pool, 4)) == set(chosen(make(), shuffled, 4))


@pytest.mark.parametrize("method", [KMeansNearest, FarthestFirst, Herding])
def test_the_pool_is_encoded_in_one_call(method):
    encoder = Plane()
    chosen(method(encoder), cloud(30), 3)
    assert encoder.calls == [30]


def test_kmeans_nearest_keeps_one_row_of_each_clump():
    clumps = [("0 0", 0), ("0.1 0", 0), ("9 9", 0), ("9.1 9", 0), ("0 9", 1), ("0.1 9", 1), ("9 0", 1), ("9.1 0", 1)]
    pool = pool_of(*clumps)
    for seed in range(5):
        points = Plane().encode(chosen(KMeansNearest(Plane()), pool, 2, seed)).round()
        assert sorted(map(tuple, points[:2])) == [(0, 0), (9, 9)]
        assert sorted(map(tuple, points[2:])) == [(0, 9), (9, 0)]


def test_farthest_first_finds_the_lone_row_far_from_the_crowd():
    pool = pool_of(*[(f"{x} {y}", y) for x in (0, 1, 2, 3, 99) for y in (0, 1)])
    for seed in range(5):
        assert {"99 0", "99 1"} <= {row.texts[0] for row in chosen(FarthestFirst(Plane()), pool, 2, seed)}


def test_herding_of_fewer_is_the_beginning_of_herding_of_more():
    pool = cloud(60)
    few, many = (chosen(Herding(Plane()), pool, k).of(1) for k in (3, 9))
    assert list(many)[:3] == list(few)


@given(seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_distribution_matching_follows_real_rows_and_herding_the_pool(seed):
    pool, real = cloud(200, seed), cloud(200, seed + 1)
    moved = Dataset(TASK, [Example((f"{x + 1:.6f} {y - 1:.6f}",), row.label) for row, (x, y) in with_points(real)])
    for label in TASK.conditions:
        wanted = Plane().encode(moved.of(label)).mean(axis=0)
        near, far = (
            np.linalg.norm(Plane().encode(chosen(method, pool, 5).of(label)).mean(axis=0) - wanted)
            for method in (DistributionMatching([Plane()], moved), Herding(Plane()))
        )
        assert near < 0.2 * far


def test_following_the_pool_itself_is_what_herding_does():
    pool = cloud(60)
    assert list(chosen(DistributionMatching([Plane()], pool), pool, 4)) == list(chosen(Herding(Plane()), pool, 4))


@dataclass
class Upright(Plane):
    """Sees only the second of both numbers."""

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        return super().encode(examples)[:, 1:]


def test_what_one_encoder_does_not_see_another_does():
    pool, real = cloud(200), cloud(200, seed=1)
    wanted = Plane().encode(real.of(0)).mean(axis=0)
    half, both = (
        np.abs(Plane().encode(chosen(DistributionMatching(encoders, real), pool, 5).of(0)).mean(axis=0) - wanted)
        for encoders in ([Upright()], [Upright(), Plane()])
    )
    assert half[1] < 0.1 and half[0] > 3 * both[0]


def test_gradient_matching_of_real_rows_reads_them_block_by_block(monkeypatch):
    pool, real = cloud(60), cloud(80, seed=1)
    whole = chosen(GradientMatching(Slope(), real), pool, 4)
    assert list(whole) != list(chosen(GradientMatching(Slope(), pool), pool, 4))
    monkeypatch.setattr("dilm.coresets.gradient_matching.BLOCK", 7)
    assert list(chosen(GradientMatching(Slope(), real), pool, 4)) == list(whole)


def with_points(rows: Dataset) -> list[tuple[Example, np.ndarray]]:
    return list(zip(rows, Plane().encode(rows), strict=True))


def test_likeliest_keeps_the_least_nll_first_in_batches_of_any_size():
    pool = cloud(50)
    generator = Distance()
    kept = chosen(Likeliest(generator, batch=8), pool, 6)
    assert kept.examples == chosen(Likeliest(Distance(), batch=50), pool, 6).examples
    assert max(generator.batches) == 8
    for label in TASK.conditions:
        distances = np.linalg.norm(Plane().encode(pool.of(label)), axis=1)
        kept_distances = np.linalg.norm(Plane().encode(kept.of(label)), axis=1)
        np.testing.assert_array_equal(kept_distances, np.sort(distances)[:6])


def test_random_gives_every_text_the_same_chance():
    pool = pool_of(*[("0 0", 0)] * 9, ("1 0", 0), ("2 0", 0), ("3 0", 1))
    firsts = [chosen(Random(), pool, 1, seed)[0].texts[0] for seed in range(300)]
    assert {text: firsts.count(text) > 70 for text in set(firsts)} == {"0 0": True, "1 0": True, "2 0": True}


def test_typical_leaves_out_rows_that_belie_their_label():
    real = Dataset(
        TASK, [Example((f"{side * 5 + step / 10:.1f} 0.0",), int(side > 0)) for side in (-1, 1) for step in range(9)]
    )
    pool = Dataset(
        TASK, [Example((f"{place:.2f} 0.00",), label) for label in (0, 1) for place in np.linspace(-9, 9, 60)]
    )
    chosen = Typical(Plane(), probed(real), long=1.0, sure=0.2)(pool, 3, np.random.default_rng(0)).apply(pool)
    sides = [float(row.texts[0].split()[0]) for row in chosen]
    assert max(sides[:3]) < -5 and min(sides[3:]) > 5


def test_typical_prefers_the_longer_texts():
    points = np.random.default_rng(1).normal(size=(80, 2))
    rows = [Example((f"{x:.3f} {y:.3f}" + "0" * (row // 2 % 2 * 9),), row % 2) for row, (x, y) in enumerate(points)]
    pool = Dataset(TASK, rows)
    chosen = Typical(Plane(), probed(pool), long=0.5, sure=1.0)(pool, 5, np.random.default_rng(0)).apply(pool)
    assert all(row.texts[0].endswith("0" * 9) for row in chosen)


def test_typical_finds_enough_rows_however_small_the_shares():
    pool = cloud(30)
    chosen = Typical(Plane(), probed(pool), long=0.01, sure=0.01)(pool, 15, np.random.default_rng(0))
    assert sorted(chosen.positions) == list(range(30))


@given(st.integers(0, 10_000))
def test_nearest_rows_are_the_closest_different_ones(seed: int):
    rng, pool = np.random.default_rng(seed), cloud(12, seed=seed)
    texts = Dataset(
        TASK, [Example((f"{x:.3f} {y:.3f}",), row // 2) for row, (x, y) in enumerate(rng.normal(size=(4, 2)))]
    )
    chosen = NearestRows(Plane(), texts)(pool, 2, rng).apply(pool)
    assert [row.label for row in chosen] == [0, 0, 1, 1]
    wanted, found = Plane().encode(texts), Plane().encode(chosen)
    for label in (0, 1):
        rows = Plane().encode(pool.of(label))
        first, second = wanted[2 * label : 2 * label + 2]
        costs = [
            np.sum((first - rows[i]) ** 2) + np.sum((second - rows[j]) ** 2)
            for i, j in permutations(range(len(rows)), 2)
        ]
        ours = np.sum((wanted[2 * label : 2 * label + 2] - found[2 * label : 2 * label + 2]) ** 2)
        assert ours == pytest.approx(min(costs), rel=1e-4)


def test_nearest_rows_of_real_rows_are_these_rows():
    pool = cloud(30)
    rows = pool.take([*pool.where(0)[3:6], *pool.where(1)[1:4]])
    assert NearestRows(Plane(), rows)(pool, 3, np.random.default_rng(0)).apply(pool).examples == rows.examples


def test_nearest_rows_need_as_many_texts_as_rows():
    with pytest.raises(RecipeError, match="not 2 of each"):
        NearestRows(Plane(), cloud(6))(cloud(30), 2, np.random.default_rng(0))


def sides(count: int, wrong: float, seed: int) -> Dataset:
    """Class 1 lies to the right of class 0, but for a share of wrong labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    places = np.where(rng.random(count) < wrong, 1 - labels, labels) * 4 - 2 + rng.normal(size=count)
    rows = zip(places, rng.normal(size=count), labels, strict=True)
    return Dataset(TASK, [Example((f"{x:.3f} {y:.3f}",), int(label)) for x, y, label in rows])


def right(chosen: Dataset, test: Dataset) -> float:
    probe = probed(chosen)
    return float(np.mean(probe.log_probabilities(Plane().encode(test)).argmax(1) == test.labels))


def test_validated_sets_teach_more_than_their_draws():
    pool, dev, test = sides(200, 0.4, 0), sides(200, 0.0, 1), sides(400, 0.0, 2)
    drawn = [right(Random()(pool, 3, np.random.default_rng(seed)).apply(pool), test) for seed in range(10)]
    select = Validated(Plane(), Random(), dev, draws=10, swaps=60)
    found = [right(select(pool, 3, np.random.default_rng(seed)).apply(pool), test) for seed in range(3)]
    assert min(found) > 0.93 > np.mean(drawn) + 0.05


def test_distinct_leaves_the_choice_to_one_row_of_each_direction():
    pool = pool_of(*[(f"{x} {label}", label) for label in (0, 1) for x in (1, 1.01, 1.02, -1, -1.01, 2)])
    kept = Distinct(Plane(), Random(), 0.9999).kept(pool, 2)
    assert [pool[row].texts[0] for row in kept] == ["1 0", "-1 0", "1 1", "-1 1", "2 1"]


def test_distinct_compares_within_a_class_only():
    pool = pool_of(("1 0", 0), ("0 1", 0), ("2 0", 1), ("0 2", 1), ("3 0", 1))
    assert Distinct(Plane(), Random(), 0.9).kept(pool, 1) == [0, 1, 2, 3]


def test_distinct_leaves_a_class_whole_that_has_too_few_different_rows():
    pool = pool_of(("1 0", 0), ("2 0", 0), ("3 0", 0), ("1 0", 1), ("2 0", 1), ("0 1", 1))
    assert Distinct(Plane(), Random(), 0.9).kept(pool, 2) == [0, 1, 2, 3, 5]
