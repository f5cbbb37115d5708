"""Proposals: fresh when they should be, the same again after a kill, and from all clusters in turn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.distillation.proposals import Refreshed, balanced_order, cluster_by
from dilm.errors import ModelError
from dilm.types import Draft, Example, Task

TASK = Task("numbers", ("text",), ("even", "odd"))


class Typist:
    """A generator that writes random numbers; every fourth draft is cut off."""

    def __init__(self, good: bool = True) -> None:
        self.task = TASK
        self.good = good
        self.asked: list[tuple[int, int]] = []

    def sample(self, condition: int, n: int, rng: torch.Generator) -> list[Draft]:
        self.asked.append((condition, n))
        numbers = torch.randint(10**9, (n,), generator=rng).tolist()
        return [Draft((f"{condition}:{number}",), self.good and at % 4 > 0) for at, number in enumerate(numbers)]


def one_cluster(examples, seed: int) -> np.ndarray:
    return np.zeros(len(examples), dtype=int)


def refreshed(generator: Typist, clustering=one_cluster) -> Refreshed:
    return Refreshed(generator, clustering, size=4, refresh_every=3, seed=7)


@settings(max_examples=50, deadline=None)
@given(clusters=st.lists(st.integers(0, 5), min_size=1, max_size=40), seed=st.integers(0, 1000))
def test_a_balanced_order_visits_clusters_in_turn(clusters: list[int], seed: int):
    labels = np.array(clusters)
    order = balanced_order(labels, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(labels)))
    left, shown = Counter(clusters), Counter(dict.fromkeys(clusters, 0))
    for row in order:
        shown[clusters[row]] += 1
        behind = [cluster for cluster in shown if shown[cluster] < left[cluster]]
        assert all(shown[clusters[row]] <= shown[cluster] + 1 for cluster in behind)


def test_a_balanced_order_is_random_within_a_turn():
    orders = {tuple(balanced_order(np.array([0, 0, 1, 1]), np.random.default_rng(seed))) for seed in range(300)}
    assert len(orders) == 16  # two turns, each in both orders, clusters shuffled within themselves


def test_proposals_are_written_once_for_the_steps_until_the_next_time():
    generator = Typist()
    proposals = refreshed(generator)
    shown = {step: [proposals(condition, step) for condition in (0, 1)] for step in range(7)}
    assert generator.asked == [(0, 12), (1, 12)] * 3
    assert all(len(batch) == 4 for batches in shown.values() for batch in batches)
    assert all(example.label == label for batches in shown.values() for label in (0, 1) for example in batches[label])
    assert proposals(0, 6) == shown[6][0]


def test_within_a_refreshment_no_text_is_shown_twice_unless_there_are_too_few():
    """Nine of twelve drafts are good: three must come again."""
    proposals = refreshed(Typist())
    shown = Counter(example for step in range(3) for example in proposals(0, step))
    assert len(shown) == 9 and sum(shown.values()) == 12 and max(shown.values()) == 2


@pytest.mark.parametrize("step", [0, 1, 4, 5, 6])
def test_a_new_process_is_shown_the_same_at_any_step(step: int):
    walker = refreshed(Typist())
    for before in range(step):
        walker(0, before), walker(1, before)
    assert [walker(label, step) for label in (0, 1)] == [refreshed(Typist())(label, step) for label in (1, 0)][::-1]


def test_classes_and_refreshments_draw_differently():
    proposals = refreshed(Typist())
    written = [
        {example.texts[0].split(":")[1] for step in steps for example in proposals(condition, step)}
        for steps in (range(3), range(3, 6))
        for condition in (0, 1)
    ]
    assert all(len(texts) == 9 for texts in written) and len(set.union(*written)) == 36


def test_a_batch_shows_the_whole_range():
    def by_parity(examples: list[Example], seed: int) -> np.ndarray:
        return np.array([int(example.texts[0][-1]) % 2 for example in examples])

    proposals = refreshed(Typist(), by_parity)
    first = Counter(int(example.texts[0][-1]) % 2 for example in proposals(0, 0))
    assert first == {0: 2, 1: 2}


def test_a_generator_that_writes_nothing_usable_is_told_what_to_do():
    with pytest.raises(ModelError) as told:
        refreshed(Typist(good=False))(1, 0)
    assert "None of 12 texts" in told.value.problem and "'odd'" in told.value.problem
    assert "fit.steps" in told.value.remedy


class Line:
    """An encoder: the length of the text."""

    def encode(self, examples) -> np.ndarray:
        return np.array([[float(len(example.texts[0]))] for example in examples], dtype=np.float32)


def test_clusters_are_those_of_the_encoder_and_one_means_none():
    examples = [Example(("a" * length,), 0) for length in (1, 2, 90, 91, 1)]
    labels = cluster_by(Line(), 2)(examples, 0)
    assert labels[0] == labels[1] == labels[4] != labels[2] == labels[3]
    assert cluster_by(Line(), 1)(examples, 0).tolist() == [0] * 5
    assert len(set(cluster_by(Line(), 50)(examples, 0).tolist())) <= 5
