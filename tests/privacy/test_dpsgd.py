"""DP-SGD: gradients of single rows, their clipping, the noise, and that models really train."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel

from dilm.distillation.fit import Lessons, contrastive, fit, held_out_nll, lesson, under_another_class
from dilm.distillation.private_fit import another, fit_privately
from dilm.errors import ModelError, PrivacyError
from dilm.models.causal import CausalGenerator
from dilm.models.scratch import train_tokenizer
from dilm.privacy.dpsgd import Bounds, DPAdamW, Hooked, clipped_sums, row_by_row
from dilm.privacy.noise import Keyed, key_of
from dilm.runtime.batches import rows_of_step
from dilm.runtime.device import choose
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.seeding import derive
from dilm.types import Dataset

KEY = b"nobody knows it"
SHAPES = {
    "gpt2": lambda size: GPT2LMHeadModel(
        GPT2Config(vocab_size=size, n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=2, eos_token_id=3)
    ),
    "bert": lambda size: BertLMHeadModel(
        BertConfig(
            vocab_size=size,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            is_decoder=True,
        )
    ),
}


def opened(kind: str, train: Dataset) -> CausalGenerator:
    """A tiny generator with tied weights, rough enough for mistakes to show."""
    tokenizer = train_tokenizer([row.texts[0] for row in train], 300, "causal" if kind == "gpt2" else "masked")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SHAPES[kind](len(tokenizer))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape))
        return CausalGenerator(model, tokenizer, train.task, choose("cpu", "fp32"))


def updater(generator: CausalGenerator, bounds: Bounds, road: Callable | None = None, steps: int = 8) -> DPAdamW:
    adam = AdamW((each for each in generator.parameters() if each.requires_grad), Schedule(steps, 1e-2))
    return DPAdamW(adam, bounds, Keyed(KEY), road or Hooked(generator.model))


def weights(generator: CausalGenerator) -> list[torch.Tensor]:
    return [each.detach().clone() for each in generator.parameters()]


@pytest.mark.parametrize("contrast", [0.0, 0.5])
@pytest.mark.parametrize("kind", SHAPES)
def test_the_hooks_give_each_rows_own_gradient(kind: str, contrast: float, train: Dataset):
    generator = opened(kind, train)
    generator.eval()
    rows = [train[at] for at in (0, 7, 20, 33, 12)]
    generator.read_at_once()

    def loss_of(asked: CausalGenerator) -> Callable:
        return lambda some: lesson(asked, some, [another(row, 2, 0, 3) for row in some], contrast)[1]

    fast = Hooked(generator.model)(loss_of(generator), rows, list(generator.parameters()))
    generator.eval()
    slow = row_by_row(loss_of(generator), rows, list(generator.parameters()))
    for mine, theirs in zip(fast, slow, strict=True):
        assert mine.shape == theirs.shape and torch.allclose(mine, theirs, atol=1e-5)
    assert max(float(each.abs().max()) for each in slow) > 1e-2


@pytest.mark.parametrize("kind", SHAPES)
def test_reading_at_once_is_the_same_likelihood(kind: str, train: Dataset):
    generator = opened(kind, train)
    generator.eval()
    with torch.no_grad():
        before = generator.nll(list(train))
        generator.read_at_once()
        assert torch.allclose(generator.nll(list(train)), before, atol=1e-5)


def test_a_rows_loss_does_not_know_who_else_is_there(train: Dataset):
    generator = opened("gpt2", train)
    generator.eval()
    generator.read_at_once()
    rows = list(train)[:6]
    with torch.no_grad():
        together = lesson(generator, rows, [another(row, 2, 0, 1) for row in rows], 0.5)[1]
        alone = [lesson(generator, [row], [another(row, 2, 0, 1)], 0.5)[1] for row in rows]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@settings(deadline=None)
@given(clip=st.floats(0.01, 100), rows=st.integers(1, 6), seed=st.integers(0, 99))
def test_no_row_moves_the_sum_by_more_than_the_clip(clip: float, rows: int, seed: int):
    rng = torch.Generator().manual_seed(seed)
    gradients = [torch.randn(rows, 3, 4, generator=rng) * 5, torch.randn(rows, 2, generator=rng)]
    whole = clipped_sums(gradients, clip)
    less = clipped_sums([each[1:] for each in gradients], clip)
    moved = math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(whole, less, strict=True)))
    assert moved <= clip * (1 + 1e-4)
    free = clipped_sums(gradients, math.inf)
    assert all(torch.allclose(a, b.sum(0), atol=1e-4) for a, b in zip(free, gradients, strict=True))


def test_a_row_without_a_finite_gradient_counts_as_none():
    gradients = [torch.tensor([[1.0, 0.0], [math.nan, 1.0], [math.inf, 0.0]])]
    assert clipped_sums(gradients, 2.0)[0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("kind", SHAPES)
def test_without_noise_and_clip_it_is_plain_training_on_the_same_rows(kind: str, train: Dataset):
    private, plain = opened(kind, train), opened(kind, train)
    for module in plain.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    plain.model.config.attention_probs_dropout_prob = 0.0
    private.read_at_once()
    order = derive(0, "fit", "rows")
    draw = lambda step: rows_of_step(len(train), step, 8, order)  # noqa: E731
    update = updater(private, Bounds(math.inf, 0.0, 8))
    list(fit_privately(private, Lessons(train, 8, 0.0, 0), update, draw, range(6)))
    lessons = Lessons(train, 8, 0.0, 0, mean_over="texts")  # as clipped rows do
    list(fit(plain, lessons, AdamW(plain.parameters(), Schedule(8, 1e-2)), range(6)))
    for mine, theirs in zip(weights(private), weights(plain), strict=True):
        assert torch.allclose(mine, theirs, atol=5e-3), (mine - theirs).abs().max()
    assert held_out_nll(private, train) == pytest.approx(held_out_nll(plain, train), abs=5e-3)


@pytest.mark.parametrize("kind", SHAPES)
def test_every_weight_learns_from_rows_and_not_from_noise(kind: str, train: Dataset):
    """Opacus issue 820: the loss falls, epsilon grows, and a layer was never trained."""
    generator = opened(kind, train)
    generator.read_at_once()
    before, first = weights(generator), held_out_nll(generator, train)
    list(
        fit_privately(
            generator,
            Lessons(train, 12, 0.0, 0),
            updater(generator, Bounds(1.0, 0.0, 12), steps=40),
            lambda step: Keyed(KEY).chosen(len(train), 1 / 3, step),
            range(40),
        )
    )
    unmoved = [
        name for (name, now), was in zip(generator.model.named_parameters(), before, strict=True) if now.equal(was)
    ]
    assert not [name for name in unmoved if "token_type" not in name], unmoved
    assert held_out_nll(generator, train) < 0.7 * first
    texts = [draft.texts[0] for draft in generator.sample(1, 8, torch.Generator().manual_seed(0))]
    words = {word for row in train for word in row.texts[0].split()}
    said = [word for text in texts for word in text.split()]
    assert said and sum(word in words for word in said) > len(said) / 3, texts


def test_the_noise_has_the_promised_scale_and_a_step_without_rows_is_noise_alone(train: Dataset):
    generator = opened("gpt2", train)
    update = updater(generator, Bounds(0.5, 3.0, 10))
    taken: list[torch.Tensor] = []
    update.adam.advance = lambda: taken.extend(each.grad.flatten() for each in update.adam.parameters)  # type: ignore
    update.on(lambda rows: torch.zeros(len(rows)), [])
    drawn = torch.cat(taken)
    assert float(drawn.std()) == pytest.approx(0.5 * 3.0 / 10, rel=0.03) and abs(float(drawn.mean())) < 0.005
    assert float((drawn / drawn.std()).pow(4).mean()) == pytest.approx(3.0, abs=0.3)  # as of a normal distribution


def test_a_private_fit_that_is_cut_in_two_is_the_same_bit_for_bit(train: Dataset):
    lessons, draw = Lessons(train, 8, 0.5, 3), lambda step: Keyed(KEY).chosen(len(train), 0.25, step)
    whole, first, second = (opened("gpt2", train) for _ in range(3))
    for generator in (whole, first, second):
        generator.read_at_once()
    list(fit_privately(whole, lessons, updater(whole, Bounds(1.0, 1.0, 8)), draw, range(6)))
    update = updater(first, Bounds(1.0, 1.0, 8))
    list(fit_privately(first, lessons, update, draw, range(3)))
    torch.rand(5)
    second.model.load_state_dict(first.model.state_dict())
    again = updater(second, Bounds(1.0, 1.0, 8))
    again.restore(deepcopy(update.state()))
    list(fit_privately(second, lessons, again, draw, range(3, 6)))
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(second), strict=True))


def test_small_micro_batches_give_the_same_step(train: Dataset):
    made = []
    for held in (100, 2):
        generator = opened("gpt2", train)
        generator.read_at_once()
        update = updater(generator, Bounds(0.1, 1.0, 8))
        update.appetite.amount = held
        list(fit_privately(generator, Lessons(train, 8, 0.0, 0), update, lambda step: range(9), range(2)))
        made.append(weights(generator))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*made, strict=True))


def test_hooks_that_see_other_gradients_than_autograd_are_refused(train: Dataset):
    """As with Hugging Face's own [1, T] position ids, of which Opacus makes one row's gradient."""
    generator = opened("gpt2", train)  # reads in pieces, and only real positions reach the vocabulary
    rows = [train[at] for at in (0, 7, 20)]
    with pytest.raises(ModelError, match="cannot tell the gradients"):
        Hooked(generator.model)(generator.nll, rows, list(generator.parameters()))


def test_summed_losses_and_several_processes_are_refused(train: Dataset):
    with pytest.raises(PrivacyError, match="loss of every row"):
        updater(opened("gpt2", train), Bounds(1.0, 1.0, 8))([torch.zeros(())], 1)


def test_each_row_is_drawn_by_a_coin_of_its_own():
    source = Keyed(KEY)
    drawn = [source.chosen(200, 0.1, step) for step in range(400)]
    sizes = [len(rows) for rows in drawn]
    assert sum(sizes) / 400 == pytest.approx(20, abs=1) and len(set(sizes)) > 10  # binomial, not fixed
    often = [sum(row in rows for rows in drawn) for row in range(200)]
    assert min(often) > 15 and max(often) < 75
    assert drawn[3] == source.chosen(200, 0.1, 3) != drawn[4]
    assert Keyed(b"other").chosen(200, 0.1, 3) != drawn[3]


def test_noise_follows_from_the_secret_and_from_nothing_public():
    like = torch.zeros(1000)
    one, other = Keyed(key_of(b"secret", "fit")), Keyed(key_of(b"secreu", "fit"))
    assert torch.equal(one.normal(like, 0), one.normal(like, 0))
    for different in (one.normal(like, 1), other.normal(like, 0), Keyed(key_of(b"secret", "match")).normal(like, 0)):
        assert abs(float(torch.corrcoef(torch.stack([one.normal(like, 0), different]))[0, 1])) < 0.15


def test_the_contrast_of_a_text_is_the_contrast_of_fit(train: Dataset):
    """Same loss as the public fit's, of which the class that is drawn is the only difference."""
    from random import Random

    assert under_another_class([train[0]], 2, Random(0))[0].label == another(train[0], 2, 5, 9).label == 1
    assert contrastive(torch.zeros(1), torch.zeros(1), torch.ones(1)).item() == pytest.approx(math.log(2))
