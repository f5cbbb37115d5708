"""The released target: what one row can change of all conditions together, and that matching sees nothing else."""

from __future__ import annotations

import pytest
import torch

from dilm.models.classifier import Classifier
from dilm.privacy.noise import Keyed
from dilm.privacy.released import Released, clipped_gradients, noised
from dilm.types import Dataset


def sums(learner: Classifier, rows: Dataset, clip: float) -> torch.Tensor:
    """Of all conditions, side by side."""
    return torch.cat([clipped_gradients(learner, rows.of(each).examples, clip) for each in rows.task.conditions])


@pytest.mark.parametrize("clip", [0.05, 1.0])
def test_one_row_changes_all_conditions_together_by_the_clip_at_most(new_learner, train: Dataset, clip: float):
    learner = new_learner()
    whole = sums(learner, train, clip)
    for gone in (0, 17, 35):
        less = sums(learner, train.take([at for at in range(len(train)) if at != gone]), clip)
        assert 0 < float((whole - less).norm()) <= clip * (1 + 1e-4)


def test_without_a_clip_it_has_the_direction_of_the_mean_gradient(new_learner, train: Dataset):
    learner = new_learner()
    rows = train.of(1).examples
    plain = learner.gradients(rows).mean(0)
    assert torch.cosine_similarity(clipped_gradients(learner, rows, 1e6), plain, dim=0) > 0.9999


def test_a_class_without_rows_has_a_sum_too(new_learner):
    learner = new_learner()
    assert not clipped_gradients(learner, (), 1.0).any()


def test_the_noise_has_the_promised_scale():
    total = torch.zeros(20_000)
    assert float(noised(total, 0.5, 4.0, Keyed(b"key"), "0.0", 1).std()) == pytest.approx(2.0, rel=0.03)


def test_matching_reads_the_bank_and_nothing_else():
    bank = {"0.1.0": torch.ones(3)}
    target = Released(bank, lambda step: "0.1")
    assert target(None, 0, 5) is bank["0.1.0"]  # type: ignore[arg-type]
