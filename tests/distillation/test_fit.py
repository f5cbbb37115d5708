"""Fitting: the generator learns what it is shown, and a run cut in two is the run in one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from dilm.distillation.fit import fit, held_out_nll, told_apart
from dilm.models.causal import CausalGenerator
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset

SCHEDULE = Schedule(40, 1e-2)
Maker = Callable[[], CausalGenerator]


def equal(one: CausalGenerator, other: CausalGenerator) -> bool:
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_fitting_makes_the_sentences_likelier(new_generator: Maker, train: Dataset):
    generator = new_generator()
    before = held_out_nll(generator, train)
    losses = list(fit(generator, train, AdamW(generator.parameters(), SCHEDULE), range(40), 12, seed=0))
    assert len(losses) == 40
    assert held_out_nll(generator, train) < before / 2
    assert sum(losses[-5:]) < sum(losses[:5]) / 2


def test_a_class_learns_its_own_words(new_generator: Maker, train: Dataset):
    generator = new_generator()
    list(fit(generator, train, AdamW(generator.parameters(), Schedule(120, 1e-2)), range(120), 12, seed=0))
    crossed = Dataset(train.task, [type(row)(row.texts, 1 - row.label) for row in train])
    assert held_out_nll(generator, train) < held_out_nll(generator, crossed) - 0.05
    assert told_apart(generator, train) > 0.75
    assert told_apart(generator, crossed) == pytest.approx(1 - told_apart(generator, train))


def test_classes_whose_tokens_are_still_alike_are_not_told_apart(new_generator: Maker, train: Dataset):
    assert told_apart(new_generator(), train) == 0.5


def test_a_fit_that_is_cut_in_two_is_the_same_bit_for_bit(new_generator: Maker, train: Dataset):
    whole, first, second = new_generator(), new_generator(), new_generator()
    losses = list(fit(whole, train, AdamW(whole.parameters(), SCHEDULE), range(7), 8, seed=3))
    update = AdamW(first.parameters(), SCHEDULE)
    early = list(fit(first, train, update, range(4), 8, seed=3))
    torch.rand(17)  # what a new process would not have drawn
    second.model.load_state_dict(first.model.state_dict())
    again = AdamW(second.parameters(), SCHEDULE)
    again.restore(update.state())
    late = list(fit(second, train, again, range(4, 7), 8, seed=3))
    assert early + late == losses
    assert equal(whole, second)


def test_another_seed_is_another_fit(new_generator: Maker, train: Dataset):
    one, other = new_generator(), new_generator()
    for generator, seed in ((one, 0), (other, 1)):
        list(fit(generator, train, AdamW(generator.parameters(), SCHEDULE), range(2), 8, seed))
    assert not equal(one, other)


def test_held_out_nll_is_the_mean_over_texts_whatever_the_batch(new_generator: Maker, train: Dataset):
    generator = new_generator()
    generator.train()  # dropout must not count
    with torch.no_grad():
        generator.eval()
        plain = sum(float(generator.nll([row])) for row in train) / len(train)
    generator.train()
    assert held_out_nll(generator, train, batch=5) == pytest.approx(plain, rel=1e-5)
    assert held_out_nll(generator, train, batch=100) == pytest.approx(plain, rel=1e-5)
