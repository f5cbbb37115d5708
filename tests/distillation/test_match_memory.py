"""A matching step for which memory does not suffice: both models take less at once, and the step is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from plain_problems import plain_problem
from shortages import FULL

from dilm.distillation.match import Matching, match
from dilm.errors import ResourceError
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.models.parts import find_part
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset


def problem(learner: Classifier, train: Dataset) -> Matching:
    part = find_part(learner, "last:1")
    return plain_problem(learner, train, part.mean, part.gradient)


def still(generator: CausalGenerator) -> CausalGenerator:
    """Without dropout, which is drawn for what runs together."""
    for module in generator.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return generator


def small(learner: Classifier, monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let it fail above so many padded tokens; those of every attempt."""
    read, seen = learner._losses, []

    def reading(inputs, targets, weights):
        seen.append(inputs["input_ids"].numel())
        if seen[-1] > most:
            raise RuntimeError(FULL)
        return read(inputs, targets, weights)

    monkeypatch.setattr(learner, "_losses", reading)
    return seen


def test_a_learner_that_needs_too_much_reads_less_at_once(
    new_generator: Callable[[], CausalGenerator],
    new_learner: Callable[[], Classifier],
    train: Dataset,
    monkeypatch: pytest.MonkeyPatch,
):
    similarities = []
    for most in (10_000, 20):
        generator, learner = still(new_generator()), new_learner()
        matching = problem(learner, train)
        seen = small(learner, monkeypatch, most)
        update = AdamW(generator.parameters(), Schedule(3, 1e-2))
        similarities.append(list(match(generator, matching, update, range(3), seed=0)))
        assert (max(seen) > 20) and seen[-1] <= most
    assert similarities[0] == pytest.approx(similarities[1], abs=1e-5)


def test_a_learner_for_which_no_memory_suffices_is_told_of(
    new_generator: Callable[[], CausalGenerator],
    new_learner: Callable[[], Classifier],
    train: Dataset,
    monkeypatch: pytest.MonkeyPatch,
):
    generator, learner = new_generator(), new_learner()
    matching = problem(learner, train)
    small(learner, monkeypatch, 1)
    with pytest.raises(ResourceError, match="one text at a time"):
        list(match(generator, matching, AdamW(generator.parameters(), Schedule(1, 1e-2)), range(1), seed=0))


def test_a_step_repeats_its_random_numbers_when_it_is_begun_anew(
    new_generator: Callable[[], CausalGenerator], new_learner: Callable[[], Classifier], train: Dataset
):
    """The first attempt fails after the generator's dropout was drawn."""
    found = []
    for faults in (0, 1):
        generator, learner = new_generator(), new_learner()
        matching = problem(learner, train)
        left = [RuntimeError(FULL)] * faults

        def road(learner, examples, weights, left=left, sound=matching.road):
            if left:
                raise left.pop()
            return sound(learner, examples, weights)

        update = AdamW(generator.parameters(), Schedule(1, 1e-2))
        found += match(generator, replace(matching, road=road), update, range(1), seed=0)
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert not torch.isnan(torch.tensor(found)).any()
