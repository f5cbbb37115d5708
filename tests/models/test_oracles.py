"""Every fast road of matching is held to plain autograd, which keeps the graph of the learner's gradient: the loss of a
whole condition, and what it teaches the generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import SENTENCES, TASK, rows
from torch import Tensor, nn

from dilm.distillation.match import GradientRoad, Matching, closed_form, condition_mismatch
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.models.parts import Part, find_part
from dilm.models.weights import copied, put_back
from dilm.runtime.device import Place
from dilm.types import Example

SHAKEN = {"bert": 0.4, "roberta": 0.2, "xlnet": 0.2}
"""How far weights are moved: enough for texts to differ in gradient, too little for a model to be chaotic in bf16."""
PARTS = ("head", "last:1", "lora:2", "all")
ROADS = ("closed form", *PARTS)
WORDS = sorted({word for sentence in SENTENCES for word in sentence.split()})


class Felt(NamedTuple):
    """The loss of a condition, and its gradient in all of the generator's weights."""

    loss: Tensor
    gradient: Tensor


@dataclass
class Bench:
    """A generator and a learner whose weights are drawn anew from a seed."""

    generator: CausalGenerator
    learner: Classifier
    shaken: float

    def __post_init__(self) -> None:
        self.first = copied(self.generator.model)

    def draw(self, seed: int) -> None:
        """Weights so large that texts differ in likelihood and in gradient."""
        put_back(self.generator.model, self.first)
        self.learner.reset(seed)
        rng = torch.Generator().manual_seed(seed)
        for model, by in ((self.generator.model, 0.2), (self.learner.model, self.shaken)):
            shake(model, by, rng)

    def felt(self, road: GradientRoad, part: Part, texts: Sequence[str], temperature: float = 1.0) -> Felt:
        """By that road. The target is the mean gradient of two rows."""
        proposals, target = [Example((text,), 1) for text in texts], part.mean(self.learner, rows()[1:5:3])
        problem = Matching(
            self.learner,
            trajectory=lambda _, step: None,
            target=lambda _, condition, step: target,
            proposals=lambda condition, step: proposals,
            road=road,
            temperature=temperature,
        )
        self.generator.eval()
        loss = condition_mismatch(self.generator, problem, 1, step=0)
        pieces = torch.autograd.grad(loss, list(self.generator.parameters()))
        return Felt(loss.detach(), torch.cat([piece.flatten() for piece in pieces]))


@torch.no_grad()
def shake(model: nn.Module, by: float, rng: torch.Generator) -> None:
    for parameter in model.parameters():
        parameter.add_(by * torch.randn(parameter.shape, generator=rng))


Opened = Callable[..., Bench]


@pytest.fixture(scope="module")
def bench(tiny_folder: Callable[[str], str]) -> Opened:
    """Of any learner; opened once for each precision: `double`, `float` or `bf16`, which is autocast."""
    opened: dict[tuple[str, str], Bench] = {}

    def of(kind: str, precision: str = "double") -> Bench:
        if (kind, precision) not in opened:
            place = Place(torch.device("cpu"), bf16=precision == "bf16")
            generator = CausalGenerator.open(tiny_folder("gpt2"), TASK, place)
            learner = Classifier.open(tiny_folder(kind), TASK, place)
            if precision == "double":
                generator.model.double()
                learner.model.double()
            opened[kind, precision] = Bench(generator, learner, SHAKEN[kind])
        return opened[kind, precision]

    return of


def roads(learner: Classifier, name: str) -> tuple[Part, GradientRoad]:
    """The weights whose gradient is matched, and the fast road to it."""
    part = find_part(learner, "head" if name == "closed form" else name)
    return part, closed_form if name == "closed form" else part.gradient


TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join), min_size=2, max_size=6, unique=True
)
FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", ROADS)
@pytest.mark.parametrize("kind", SHAKEN)
@FEW
@given(texts=TEXTS, temperature=st.floats(0.3, 3), seed=st.integers(0, 2**20))
def test_in_double_precision_every_road_is_autograd_to_eight_digits(
    bench: Opened, kind: str, name: str, texts: list[str], temperature: float, seed: int
):
    one = bench(kind)
    one.draw(seed)
    part, road = roads(one.learner, name)
    fast, plain = (one.felt(by, part, texts, temperature) for by in (road, part.plainly))
    assert fast.loss.dtype == fast.gradient.dtype == torch.float64
    assert (fast.loss - plain.loss).abs() < 1e-8
    assert (fast.gradient - plain.gradient).norm() < 1e-8 * plain.gradient.norm() + 1e-13


@pytest.mark.parametrize("name", ROADS)
@pytest.mark.parametrize("kind", SHAKEN)
@pytest.mark.parametrize("seed", [0, 1])
def test_bfloat16_keeps_the_loss_to_a_hundredth_and_the_gradients_direction_to_another(
    bench: Opened, kind: str, name: str, seed: int
):
    """The bound: loss within 0.01, cosine of what the generator feels above 0.99, its length within a tenth."""
    found = []
    for precision in ("float", "bf16"):
        one = bench(kind, precision)
        one.draw(seed)
        part, road = roads(one.learner, name)
        found.append(one.felt(part.plainly if precision == "float" else road, part, SENTENCES))
    sure, rough = found
    assert sure.loss.dtype == rough.loss.dtype == torch.float32
    assert 0 < (sure.loss - rough.loss).abs() < 0.01
    assert torch.cosine_similarity(sure.gradient, rough.gradient, dim=0) > 0.99
    assert 0.9 < rough.gradient.norm() / sure.gradient.norm() < 1.1


@pytest.mark.parametrize("name", ROADS)
@pytest.mark.parametrize("kind", SHAKEN)
def test_micro_batches_are_one_batch(bench: Opened, monkeypatch: pytest.MonkeyPatch, kind: str, name: str):
    """Of the generator and of the learner; `1`: every text runs alone."""
    one, found, read = bench(kind), [], []
    one.draw(0)
    part, road = roads(one.learner, name)
    hook = one.learner.model.register_forward_pre_hook(lambda *_: read.append(1))
    for together in (1, 10**6):
        monkeypatch.setattr(one.generator, "tokens_at_once", together)
        monkeypatch.setattr(one.learner, "tokens_at_once", together)
        monkeypatch.setattr(one.learner, "read_at_once", together)
        found.append((one.felt(road, part, SENTENCES), len(read)))
        read.clear()
    hook.remove()
    (many, calls), (whole, fewer) = found
    assert calls >= fewer + len(SENTENCES) - 1
    torch.testing.assert_close(many.loss, whole.loss, rtol=0, atol=1e-10)
    torch.testing.assert_close(many.gradient, whole.gradient, rtol=0, atol=1e-10)
