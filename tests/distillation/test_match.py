"""Matching: three roads to one gradient, and a generator that turns towards the target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
import torch
from plain_problems import plain_problem
from torch import Tensor

from dilm.distillation.centring import Centred
from dilm.distillation.fluency import RealText
from dilm.distillation.match import GradientRoad, Matching, closed_form, condition_mismatch, match
from dilm.distillation.targets import RandomRows, mean_gradient
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.models.parts import find_part
from dilm.protocols import Parts
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset, Example

Generators, Learners = Callable[[], CausalGenerator], Callable[[], Classifier]


ROADS: dict[str, Callable[[Classifier], GradientRoad]] = {
    "closed form": lambda _: closed_form,
    "forward mode": lambda learner: find_part(learner, "head").gradient,
    "autograd": lambda learner: find_part(learner, "head").plainly,
}


def matching(learner: Classifier, train: Dataset, road: str = "closed form") -> Matching:
    return plain_problem(learner, train, mean_gradient, ROADS[road](learner))


def loss_and_gradient(generator: CausalGenerator, problem: Matching, condition: int) -> tuple[Tensor, Tensor]:
    generator.eval()
    loss = condition_mismatch(generator, problem, condition, step=0)
    pieces = torch.autograd.grad(loss, list(generator.parameters()))
    return loss.detach(), torch.cat([piece.flatten() for piece in pieces])


@pytest.mark.parametrize("condition", [0, 1])
@pytest.mark.parametrize("likelihood", ["token", "sum", "padded"])
def test_all_roads_give_one_loss_and_teach_the_generator_the_same(
    new_generator: Generators, new_learner: Learners, train: Dataset, condition: int, likelihood: str
):
    generator, learner = new_generator(), new_learner()
    generator.likelihood = likelihood
    plain = loss_and_gradient(generator, matching(learner, train, "autograd"), condition)
    assert plain[1].norm().item() > 1e-3
    for road in ("closed form", "forward mode"):
        fast = loss_and_gradient(generator, matching(learner, train, road), condition)
        torch.testing.assert_close(fast[0], plain[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(fast[1], plain[1], rtol=0, atol=1e-6)
        assert ((fast[1] - plain[1]).norm() / plain[1].norm()).item() < 1e-4


@pytest.mark.parametrize("wanted", ["head", "last:0", "last:1", "all", "lora:4"])
def test_in_double_precision_roads_agree_to_eight_digits_in_any_part(
    new_generator: Generators, new_learner: Learners, train: Dataset, wanted: str
):
    generator, learner = new_generator(), new_learner()
    generator.model.double()
    learner.model.double()
    part = find_part(learner, wanted)
    problem = matching(learner, train)
    targets = {condition: part.mean(learner, problem.proposals(condition, 0)[2:4]) for condition in (0, 1)}
    problem = replace(problem, target=lambda _, condition, step: targets[condition])
    fast, plain = (
        loss_and_gradient(generator, replace(problem, road=road), 1) for road in (part.gradient, part.plainly)
    )
    assert fast[1].dtype == torch.float64 and fast[1].norm() > 1e-3
    torch.testing.assert_close(fast[0], plain[0], rtol=0, atol=1e-8)
    torch.testing.assert_close(fast[1], plain[1], rtol=0, atol=1e-8)


def test_the_plain_road_takes_gradients_without_dropout(
    new_generator: Generators, new_learner: Learners, train: Dataset
):
    generator, learner = new_generator(), new_learner()
    problem = matching(learner, train, "autograd")
    learner.train()
    first = loss_and_gradient(generator, problem, 0)[0]
    learner.train()
    assert torch.equal(loss_and_gradient(generator, problem, 0)[0], first)


def test_the_learner_is_not_taught(new_generator: Generators, new_learner: Learners, train: Dataset):
    generator, learner = new_generator(), new_learner()
    before = learner.snapshot()
    update = AdamW(generator.parameters(), Schedule(3, 1e-2))
    list(match(generator, matching(learner, train, "autograd"), update, range(3), seed=0))
    assert all(torch.equal(value, before[name]) for name, value in learner.snapshot().items())


@pytest.mark.parametrize("road", ROADS)
def test_matching_raises_the_gradient_similarity(
    new_generator: Generators, new_learner: Learners, train: Dataset, road: str
):
    generator, problem = new_generator(), matching(new_learner(), train, road)
    update = AdamW(generator.parameters(), Schedule(30, 1e-2, warmup=0.1))
    seen = list(match(generator, problem, update, range(30), seed=0))
    assert len(seen) == 30 and all(-1 <= value <= 1 + 1e-6 for value in seen)
    assert 1 - sum(seen[-5:]) / 5 < (1 - sum(seen[:3]) / 3) / 2


def test_matching_makes_the_target_texts_likelier_than_the_others(
    new_generator: Generators, new_learner: Learners, train: Dataset
):
    generator, problem = new_generator(), matching(new_learner(), train)
    generator.eval()
    before = torch.softmax(-generator.nll(problem.proposals(0, 0)), 0)[2:4].sum()
    list(match(generator, problem, AdamW(generator.parameters(), Schedule(30, 1e-2)), range(30), seed=0))
    generator.eval()
    assert torch.softmax(-generator.nll(problem.proposals(0, 0)), 0)[2:4].sum() > before + 0.1


def test_a_match_that_is_cut_in_two_is_the_same_bit_for_bit(
    new_generator: Generators, new_learner: Learners, train: Dataset
):
    learner = new_learner()
    problem = replace(matching(learner, train), target=RandomRows(train, 5, seed=0))
    schedule, whole, first, second = Schedule(5, 1e-2), new_generator(), new_generator(), new_generator()
    similarities = list(match(whole, problem, AdamW(whole.parameters(), schedule), range(5), seed=0))
    update, again = AdamW(first.parameters(), schedule), AdamW(second.parameters(), schedule)
    early = list(match(first, problem, update, range(2), seed=0))
    second.model.load_state_dict(first.model.state_dict())
    again.restore(update.state())
    assert early + list(match(second, problem, again, range(2, 5), seed=0)) == similarities
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


class Bringer:
    """A process that answers for some classes; it takes down their losses, and steps nowhere."""

    def __init__(self, *conditions: int) -> None:
        self.conditions, self.brought = conditions, list[float]()

    def share(self, items: Sequence[int]) -> Sequence[int]:
        return [item for item in items if item in self.conditions]

    def __call__(self, losses: Iterable[Tensor], count: int) -> float:
        assert count == 2
        self.brought += [loss.item() for loss in losses]
        return 0.0

    def mean(self, values: Sequence[float]) -> float:
        return sum(values) / len(values)

    def forget(self) -> None:
        pass


def test_gradients_are_freed_before_a_learner_is_put_into_its_state(
    new_generator: Generators, new_learner: Learners, train: Dataset
):
    """Which takes as much memory."""
    generator, problem, held = new_generator(), matching(new_learner(), train), []

    def trajectory(learner: Classifier, step: int) -> None:
        held.append(any(parameter.grad is not None for parameter in generator.parameters()))
        problem.trajectory(learner, step)

    update = AdamW(generator.parameters(), Schedule(3, 1e-3))
    list(match(generator, replace(problem, trajectory=trajectory), update, range(3), seed=0))
    assert held == [False] * 3
    assert any(parameter.grad is not None for parameter in generator.parameters())


def test_a_class_brings_the_same_to_a_step_in_whichever_process(
    new_generator: Generators, new_learner: Learners, train: Dataset
):
    """Dropout included."""
    generator, problem = new_generator(), matching(new_learner(), train)
    alone, first, second = Bringer(0, 1), Bringer(0), Bringer(1)
    for bringer in (alone, first, second):
        list(match(generator, problem, bringer, range(1), seed=0))  # type: ignore[arg-type]
    assert alone.brought == first.brought + second.brought and len(alone.brought) == 2


def test_matching_goes_on_where_memory_runs_out_and_ends_the_same(
    new_generator: Generators, new_learner: Learners, train: Dataset, monkeypatch: pytest.MonkeyPatch
):
    """There is memory enough only once activations are computed again."""
    problem, schedule = matching(new_learner(), train), Schedule(3, 1e-2)
    roomy, tight = new_generator(), new_generator()
    wanted = list(match(roomy, problem, AdamW(roomy.parameters(), schedule), range(3), seed=0))
    nll = CausalGenerator.nll_in_parts

    def scarce(generator: CausalGenerator, examples: Sequence[Example]) -> tuple[Tensor, Parts]:
        found = nll(generator, examples)
        if generator.model.training and not generator.recompute:
            raise RuntimeError("CUDA out of memory.")
        return found

    monkeypatch.setattr(CausalGenerator, "nll_in_parts", scarce)
    assert list(match(tight, problem, AdamW(tight.parameters(), schedule), range(3), seed=0)) == wanted
    assert tight.recompute and tight.tokens_at_once == roomy.tokens_at_once
    for one, other in zip(roomy.parameters(), tight.parameters(), strict=True):
        assert torch.equal(one, other)


def test_sockets_are_asked_in_order_and_with_the_step(new_generator: Generators, new_learner: Learners, train: Dataset):
    """Proposals come first: writing them puts the generator in eval mode, and it must match in train mode."""
    generator, plain, asked = new_generator(), matching(new_learner(), train), []

    def proposals(condition: int, step: int):
        if ("proposals", condition, step) not in asked:
            generator.eval()
        asked.append(("proposals", condition, step))
        return plain.proposals(condition, step)

    def target(learner: Classifier, condition: int, step: int) -> Tensor:
        assert generator.model.training
        asked.append(("target", condition, step))
        return plain.target(learner, condition, step)

    problem = replace(
        plain, proposals=proposals, target=target, trajectory=lambda _, step: asked.append(("trajectory", step))
    )
    next(match(generator, problem, AdamW(generator.parameters(), Schedule(1, 0.1)), range(4, 5), 0))
    assert asked.index(("trajectory", 4)) == 2
    assert [event for event in asked if event[0] == "target"] == [("target", 0, 4), ("target", 1, 4)]


def test_a_hot_temperature_levels_the_texts(new_generator: Generators, new_learner: Learners, train: Dataset):
    learner = new_learner()
    problem = replace(matching(learner, train), temperature=1e6)
    loss = condition_mismatch(new_generator(), problem, 0, 0)
    mean, target = mean_gradient(learner, problem.proposals(0, 0)), problem.target(learner, 0, 0)
    assert loss.item() == pytest.approx(1 - torch.cosine_similarity(mean, target, dim=0).item(), abs=1e-4)


def test_real_text_stays_likelier_where_that_is_asked_too(
    new_generator: Generators, new_learner: Learners, train: Dataset
):
    """And the similarity that is told is that of gradients alone."""
    found = {}
    for weight in (0.0, 1.0):
        generator, problem = new_generator(), matching(new_learner(), train)
        fluency = RealText(train, rows=6, weight=weight, seed=0)
        update = AdamW(generator.parameters(), Schedule(20, 1e-2))
        told = list(match(generator, replace(problem, fluency=fluency if weight else None), update, range(20), seed=0))
        generator.eval()
        found[weight] = told, generator.nll(train.examples).mean().item()
    assert found[1.0][1] < found[0.0][1] - 0.1
    assert found[1.0][0][0] == pytest.approx(found[0.0][0][0], abs=1e-6)
    assert all(-1 <= similarity <= 1 for similarity in found[1.0][0])


def test_centred_gradients_do_not_see_what_all_texts_share(
    new_generator: Generators, new_learner: Learners, train: Dataset
):
    """A learner whose features are all moved far away says the same of texts, where whole gradients become parallel."""
    similarities = {}
    for far in (0.0, 1e3):
        generator, learner = new_generator(), new_learner()
        generator.eval()
        generator.model.double()
        learner.model.double()
        learner.head.register_forward_pre_hook(lambda _, inputs, far=far: (inputs[0] + far,))
        with torch.no_grad():  # the same logits
            learner.head.bias -= far * learner.head.weight.sum(1)
        problem = matching(learner, train)
        looking = replace(problem, view=Centred(problem.target, train.task.conditions, len(train.task.labels)))
        similarities[far] = [1 - condition_mismatch(generator, each, 0, 0).item() for each in (problem, looking)]
    assert similarities[1e3][0] > 0.9999 > similarities[0.0][0]
    assert similarities[1e3][1] == pytest.approx(similarities[0.0][1], abs=1e-4)
    assert similarities[0.0][1] < 0.99


def test_matching_raises_the_similarity_of_centred_gradients(
    new_generator: Generators, new_learner: Learners, train: Dataset
):
    generator, problem = new_generator(), matching(new_learner(), train)
    problem = replace(problem, view=Centred(problem.target, train.task.conditions, len(train.task.labels)))
    update = AdamW(generator.parameters(), Schedule(30, 1e-2, warmup=0.1))
    seen = list(match(generator, problem, update, range(30), seed=0))
    assert sum(seen[-5:]) / 5 > sum(seen[:5]) / 5 + 0.1
