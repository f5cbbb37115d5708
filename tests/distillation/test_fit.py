"""Fitting: the generator learns what it is shown, and a run cut in two is the run in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dilm.distillation.fit import Lessons, contrastive, fit, held_out_nll, told_apart, under_another_class
from dilm.models import scratch
from dilm.models.causal import CausalGenerator
from dilm.runtime.device import choose
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset, Example, Task

SCHEDULE = Schedule(40, 1e-2)
Maker = Callable[[], CausalGenerator]


def equal(one: CausalGenerator, other: CausalGenerator) -> bool:
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_fitting_makes_the_sentences_likelier(new_generator: Maker, train: Dataset):
    generator = new_generator()
    before = held_out_nll(generator, train)
    losses = list(fit(generator, Lessons(train, 12, 0.0, 0), AdamW(generator.parameters(), SCHEDULE), range(40)))
    assert len(losses) == 40
    assert held_out_nll(generator, train) < before / 2
    assert sum(losses[-5:]) < sum(losses[:5]) / 2


def test_a_class_learns_its_own_words(new_generator: Maker, train: Dataset):
    generator = new_generator()
    list(fit(generator, Lessons(train, 12, 0.0, 0), AdamW(generator.parameters(), Schedule(160, 1e-2)), range(160)))
    crossed = Dataset(train.task, [type(row)(row.texts, 1 - row.label) for row in train])
    assert held_out_nll(generator, train) < held_out_nll(generator, crossed) - 0.02
    assert told_apart(generator, train) > 0.75
    assert told_apart(generator, crossed) == pytest.approx(1 - told_apart(generator, train))


@pytest.mark.parametrize("mean_over", ["tokens", "texts"])
def test_texts_end_where_those_of_the_data_do(new_generator: Maker, train: Dataset, mean_over: str):
    """Of two lengths that are equally frequent, means over texts teach the short one far more often."""
    word = train[0].texts[0].split()[0]
    rows = Dataset(train.task, [Example((" ".join([word] * (1 if row % 2 else 9)),), 0) for row in range(12)])
    generator = new_generator()
    lessons = Lessons(rows, 12, 0.0, 0, mean_over=mean_over)
    list(fit(generator, lessons, AdamW(generator.parameters(), Schedule(150, 1e-2)), range(150)))
    generator.eval()
    long, short = (int(generator.lengths([row])) for row in rows.take([0, 1]))
    with torch.no_grad():
        logits, targets, _ = next(generator.predictions([rows[1]]))
    ended = logits.softmax(1)[-1, targets[-1]].item()  # after the one word
    wanted = {"tokens": 1 / 2, "texts": (1 / short) / (1 / short + 1 / long)}
    assert wanted["texts"] > 0.7 and ended == pytest.approx(wanted[mean_over], abs=0.05)


def test_classes_whose_tokens_are_still_alike_are_not_told_apart(new_generator: Maker, train: Dataset):
    assert told_apart(new_generator(), train) == 0.5


def test_a_fit_that_is_cut_in_two_is_the_same_bit_for_bit(new_generator: Maker, train: Dataset):
    whole, first, second = new_generator(), new_generator(), new_generator()
    losses = list(fit(whole, Lessons(train, 8, 0.0, 3), AdamW(whole.parameters(), SCHEDULE), range(7)))
    update = AdamW(first.parameters(), SCHEDULE)
    early = list(fit(first, Lessons(train, 8, 0.0, 3), update, range(4)))
    torch.rand(17)  # what a new process would not have drawn
    second.model.load_state_dict(first.model.state_dict())
    again = AdamW(second.parameters(), SCHEDULE)
    again.restore(update.state())
    late = list(fit(second, Lessons(train, 8, 0.0, 3), again, range(4, 7)))
    assert early + late == losses
    assert equal(whole, second)


def test_another_seed_is_another_fit(new_generator: Maker, train: Dataset):
    one, other = new_generator(), new_generator()
    for generator, seed in ((one, 0), (other, 1)):
        list(fit(generator, Lessons(train, 8, 0.0, seed), AdamW(generator.parameters(), SCHEDULE), range(2)))
    assert not equal(one, other)


def test_held_out_nll_is_the_mean_over_tokens_whatever_the_batch(new_generator: Maker, train: Dataset):
    generator = new_generator()
    generator.train()  # dropout must not count
    with torch.no_grad():
        generator.eval()
        generator.likelihood = "sum"
        plain = sum(float(generator.nll([row])) for row in train) / int(generator.lengths(list(train)).sum())
        generator.likelihood = "token"
    generator.train()
    assert held_out_nll(generator, train, batch=5) == pytest.approx(plain, rel=1e-5)
    assert held_out_nll(generator, train, batch=100) == pytest.approx(plain, rel=1e-5)


def one_word_in_nine(count: int, seed: int) -> Dataset:
    """Texts whose class is in one word, at any place among others that say nothing of it."""
    rng = Random(seed)
    task = Task("needles", ("text",), ("bad", "good"), max_tokens=40)
    others = ["the", "a", "film", "plot", "cast", "with", "and", "of", "music", "ending", "actor", "scene", "night"]
    rows = []
    for number in range(count):
        words = [rng.choice(others) for _ in range(9)]
        words[rng.randrange(9)] = rng.choice((("dull", "slow"), ("warm", "fine"))[number % 2])
        rows.append(Example((" ".join(words),), number % 2))
    return Dataset(task, rows)


@pytest.mark.slow
def test_contrast_teaches_the_classes_in_fewer_steps(tmp_path: Path):
    train, dev = one_word_in_nine(300, seed=0), one_word_in_nine(150, seed=1)
    tokenizer = scratch.train_tokenizer([row.texts[0] for row in train], vocabulary=300)
    model = scratch.small_gpt2(tokenizer, scratch.Size(layers=1, width=16, heads=2), 0)
    scratch.save(model, tokenizer, tmp_path)
    known = {}
    for contrast in (0.0, 0.5):
        generator = CausalGenerator.open(str(tmp_path), train.task, choose("cpu", "fp32"))
        lessons = Lessons(train, 16, contrast, seed=2)
        list(fit(generator, lessons, AdamW(generator.parameters(), Schedule(120, 1e-2)), range(120)))
        known[contrast] = told_apart(generator, dev)
    assert known[0.5] > 0.95 and known[0.5] > known[0.0] + 0.1, known


def test_the_contrast_is_bayes_rule_between_two_classes(new_generator: Maker, train: Dataset):
    generator = new_generator()
    list(fit(generator, Lessons(train, 12, 0.5, 0), AdamW(generator.parameters(), SCHEDULE), range(20)))
    generator.eval()
    others = under_another_class(list(train), 2, Random(0))
    with torch.no_grad():
        own, other = generator.nll(list(train)), generator.nll(others)
        loss = contrastive(own, other, generator.lengths(list(train)))
        generator.likelihood = "sum"
        joint = torch.stack([-generator.nll(list(train)), -generator.nll(others)])
    assert torch.allclose(-joint.log_softmax(0)[0], loss * generator.lengths(list(train)), atol=1e-4)


@given(classes=st.integers(2, 7), seed=st.integers(0, 99))
def test_another_class_is_never_ones_own_and_may_be_any_other(classes: int, seed: int):
    rows = [Example((str(row),), row % classes) for row in range(200)]
    others = under_another_class(rows, classes, Random(seed))
    assert [other.texts for other in others] == [row.texts for row in rows]
    assert all(other.label != row.label for other, row in zip(others, rows, strict=True))
    assert {other.label for other in others} == set(range(classes))
