"""What regularises fit and match is exactly what it says: smoothing, dropout, and nearness to the fitted generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from dilm.distillation.fit import Lessons, fit, lesson, plain_and_spread
from dilm.distillation.fluency import Anchored, RealText, Together
from dilm.errors import ModelError, RecipeError
from dilm.models.causal import CausalGenerator
from dilm.models.dropout import OWN, set_dropout
from dilm.numerics.likelihood import token_costs, token_divergence
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset, Example

Maker = Callable[[], CausalGenerator]
LOGITS = st.lists(st.lists(st.floats(-8, 8), min_size=5, max_size=5), min_size=1, max_size=4)


def moved(generator: CausalGenerator, by: float = 0.05, seed: int = 3) -> CausalGenerator:
    with torch.no_grad():
        rng = torch.Generator().manual_seed(seed)
        for parameter in generator.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=rng))
    return generator


def gradients(generator: CausalGenerator, losses: Any) -> dict[str, Tensor]:
    """Back-propagated one after the other, as an updater does it."""
    generator.model.zero_grad(set_to_none=True)
    for loss in losses:
        loss.backward()
    return {name: p.grad.clone() for name, p in generator.model.named_parameters() if p.grad is not None}


def ids(generator: CausalGenerator, example: Example) -> Tensor:
    return torch.tensor([generator._tokens(example)])


@given(LOGITS)
def test_smoothing_is_torchs(rows: list[list[float]]):
    logits, targets = torch.tensor(rows), torch.arange(len(rows)) % 5
    plain, spread = token_costs(logits, targets)
    for share in (0.0, 0.1, 0.7):
        theirs = nn.functional.cross_entropy(logits, targets, reduction="none", label_smoothing=share)
        torch.testing.assert_close((1 - share) * plain + share * spread, theirs, atol=1e-5, rtol=1e-5)


@given(LOGITS, LOGITS)
def test_divergence_is_torchs_never_negative_and_zero_of_itself(one: list[list[float]], other: list[list[float]]):
    some = min(len(one), len(other))
    own, reference = torch.tensor(one[:some]), torch.tensor(other[:some])
    found = token_divergence(own, reference)
    theirs = nn.functional.kl_div(reference.log_softmax(1), own.log_softmax(1), log_target=True, reduction="none").sum(
        1
    )
    torch.testing.assert_close(found, theirs, atol=1e-5, rtol=1e-4)
    assert (found > -1e-5).all()
    assert (token_divergence(own, own) == 0).all()


def test_predictions_cost_what_nll_says_in_any_pieces(new_generator: Maker, train: Dataset):
    generator = new_generator()
    generator.eval()
    for at_once in (10_000, 40, 1):
        generator.tokens_at_once = at_once
        own, _ = plain_and_spread(generator, train.examples)
        torch.testing.assert_close(own, generator.nll(train.examples))


def test_a_smoothed_lesson_is_plain_where_nothing_is_smoothed(new_generator: Maker, train: Dataset):
    generator = new_generator()
    generator.eval()
    others = [Example(each.texts, 1 - each.label) for each in train]
    for contrast in (0.0, 0.5):
        plain = lesson(generator, train.examples, others, contrast)
        nearly = lesson(generator, train.examples, others, contrast, 1e-7)
        torch.testing.assert_close(plain, nearly, atol=1e-4, rtol=1e-4)


def test_smoothing_leaves_a_generator_less_sure(new_generator: Maker, train: Dataset):
    surest = {}
    for share in (0.0, 0.5):
        generator = new_generator()
        update = AdamW(generator.parameters(), Schedule(40, 1e-2))
        list(fit(generator, Lessons(train, 12, 0.0, 0, share), update, range(40)))
        generator.eval()
        told = [logits.softmax(1).amax(1) for logits, _, _ in generator.predictions(train.examples)]
        surest[share] = torch.cat(told).mean().item()
    assert surest[0.5] < surest[0.0] - 0.1


def anchored(reference: CausalGenerator, examples: Any, weight: float = 1.0) -> Anchored:
    return Anchored(reference, lambda condition, step: examples, weight)


def test_of_equal_weights_the_divergence_and_its_gradient_are_zero(new_generator: Maker, train: Dataset):
    """Even where the model drops some of what it computes while it is trained."""
    generator = new_generator()
    set_dropout(generator.model, 0.5)
    generator.train()
    losses = list(anchored(new_generator(), train.examples)(generator, 0, 0))
    assert sum(loss.item() for loss in losses) == pytest.approx(0, abs=1e-7)
    found = gradients(generator, losses)
    assert max(grad.abs().max().item() for grad in found.values()) < 1e-6
    assert generator.model.training


def plain_divergence(generator: CausalGenerator, reference: CausalGenerator, examples: Any) -> Tensor:
    """The oracle: text by text, without padding, pieces or hooks, by torch's own divergence."""
    total, tokens = torch.zeros(()), 0
    for example in examples:
        row = ids(generator, example)
        with torch.no_grad():
            other = reference.model(input_ids=row).logits[0, :-1].log_softmax(1)
        own = generator.model(input_ids=row).logits[0, :-1].log_softmax(1)
        total = total + nn.functional.kl_div(other, own, log_target=True, reduction="sum")
        tokens += row.shape[1] - 1
    return total / tokens


@pytest.mark.parametrize(("at_once", "others_at_once"), [(10_000, 10_000), (40, 10_000), (10_000, 40), (20, 60)])
def test_the_divergence_is_that_of_whole_texts_in_whatever_pieces(
    new_generator: Maker, train: Dataset, at_once: int, others_at_once: int
):
    """Values and gradients, also where only one of both had to take smaller pieces."""
    generator, reference = moved(new_generator()), new_generator()
    generator.tokens_at_once, reference.tokens_at_once = at_once, others_at_once
    generator.eval()
    examples = [*train.examples[:5], *train.examples[20:23], Example(("the",), 1), Example(("the " * 9,), 0)]
    wanted = plain_divergence(generator, reference, examples)
    oracle = gradients(generator, [2.0 * wanted])
    losses = list(anchored(reference, examples, weight=2.0)(generator, 0, 0))
    assert len(losses) > 1 or at_once == 10_000
    torch.testing.assert_close(torch.stack(losses).sum(), 2.0 * wanted, atol=1e-6, rtol=1e-5)
    found = gradients(generator, losses)
    assert found.keys() == oracle.keys() and wanted > 0.001
    for name, grad in oracle.items():
        torch.testing.assert_close(found[name], grad, atol=1e-6, rtol=1e-4)
    assert all(p.grad is None for p in reference.parameters())


def test_an_anchored_generator_is_drawn_back(new_generator: Maker, train: Dataset):
    generator, reference = moved(new_generator()), new_generator()
    both = Together([anchored(reference, train.examples), RealText(train, 2, 0.0, 0)])
    update, told = AdamW(generator.parameters(), Schedule(30, 3e-3)), []
    for step in range(30):
        told.append(update(both(generator, 0, step), 1))
    assert told[-1] < told[0] / 3


class Mute:
    """A generator that does not tell what it expects."""

    def lengths(self, examples: Any) -> Tensor:
        return torch.ones(len(examples))

    def eval(self) -> None: ...


def test_a_generator_that_does_not_tell_is_refused_with_the_setting(new_generator: Maker, train: Dataset):
    with pytest.raises(RecipeError, match=r"match\.kl needs"):
        next(anchored(new_generator(), train.examples)(Mute(), 0, 0))  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=r"fit\.label_smoothing needs"):
        plain_and_spread(Mute(), train.examples)  # type: ignore[arg-type]


def test_dropout_is_set_everywhere_or_left_alone(new_generator: Maker, train: Dataset):
    """At 0 training is as certain as reading; at its own nothing changes; reading never drops anything."""
    generator = new_generator()
    shares = [module.p for module in generator.model.modules() if isinstance(module, nn.Dropout)]
    set_dropout(generator.model, OWN)
    assert [module.p for module in generator.model.modules() if isinstance(module, nn.Dropout)] == shares
    generator.eval()
    read = generator.nll(train.examples)
    for share, same in ((0.0, True), (0.6, False)):
        set_dropout(generator.model, share)
        generator.train()
        assert torch.allclose(generator.nll(train.examples), read, atol=1e-5) is same
        generator.eval()
        torch.testing.assert_close(generator.nll(train.examples), read)


def test_attention_without_a_layer_drops_too():
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=9, **size)).train()
    set_dropout(model, 0.9)
    row = torch.arange(8)[None]
    assert not torch.equal(model(row).logits, model(row).logits)


def test_a_model_without_dropout_is_told():
    with pytest.raises(ModelError, match="has no dropout"):
        set_dropout(nn.Linear(2, 2), 0.1)
    set_dropout(nn.Linear(2, 2), 0.0)
