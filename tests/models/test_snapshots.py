"""Laws of the bank on disk: what comes back is what went in, to half precision of what training changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import TASK, rows

from dilm.errors import ResourceError
from dilm.models import filed
from dilm.models.classifier import Classifier
from dilm.models.filed import Filed
from dilm.models.snapshots import SCALE, Expanded, Snapshots, TensorFiles, Vectors, pressed
from dilm.models.weights import tensors
from dilm.runtime.device import Place
from dilm.runtime.optimize import AdamW, Schedule


@pytest.fixture
def learner(tiny_folder, place) -> Classifier:
    one = Classifier.open(tiny_folder("bert"), TASK, place)
    one.reset(3)
    return one


def trained(learner: Classifier, steps: int = 5) -> dict[str, torch.Tensor]:
    update = AdamW(learner.parameters(), Schedule(steps, 1e-2))
    for _ in range(steps):
        update([learner.loss(rows()).mean()], 1)
    return learner.snapshot()


def test_a_state_comes_back_to_eleven_bits_of_what_changed(learner: Classifier, tmp_path: Path):
    before, after, shelf = learner.snapshot(), trained(learner), Snapshots(tmp_path / "new", learner.pristine)
    assert "0.1" not in shelf
    shelf["0.1"] = after
    assert "0.1" in shelf
    found = shelf["0.1"]
    assert found.keys() == after.keys()
    for name, value in after.items():
        largest = (value - before[name]).abs().max() if value.is_floating_point() else 0
        assert (found[name] - value).abs().max() <= largest * 2**-11 + 1e-7


def test_what_is_kept_of_a_learner_is_its_snapshot(learner: Classifier, tmp_path: Path):
    one, other = (Snapshots(tmp_path / name, learner.pristine) for name in "ab")
    one["now"] = trained(learner)
    other.keep("now", learner)
    learner.reset(5)
    assert all(torch.equal(one["now"][name], other["now"][name]) for name in one["now"])


def test_the_drawn_head_comes_back_bit_for_bit(learner: Classifier, tmp_path: Path):
    shelf, after = Snapshots(tmp_path, learner.pristine), trained(learner)
    shelf["one"] = after
    fresh = learner.pristine.fresh
    assert fresh and all(torch.equal(shelf["one"][name], after[name]) for name in fresh)


def test_a_learner_that_was_put_back_answers_as_it_did(learner: Classifier, tmp_path: Path):
    shelf, after = Snapshots(tmp_path, learner.pristine), trained(learner)
    answers = learner.features(rows())[1]
    shelf["one"] = after
    learner.reset(9)
    learner.restore(shelf["one"])
    torch.testing.assert_close(learner.features(rows())[1], answers, atol=2e-3, rtol=0)


def test_an_untrained_state_takes_the_place_of_its_head_alone(learner: Classifier):
    kept = pressed(learner.snapshot(), learner.pristine)
    assert {name for name in kept if kept[name].is_floating_point()} == learner.pristine.fresh


def test_a_trained_state_takes_half_the_place(learner: Classifier, tmp_path: Path):
    after = trained(learner)
    Snapshots(tmp_path, learner.pristine)["one"] = after
    whole = sum(value.numel() * value.element_size() for value in after.values())
    kept = sum(v.numel() * v.element_size() for v in TensorFiles(tmp_path)["one"].values())
    assert kept < 0.55 * whole


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-12, 1e6), seed=st.integers(0, 999))
def test_differences_of_any_size_are_kept(scale: float, seed: int):
    """Half precision alone would lose the smallest and overflow with the largest."""
    pristine = FakePristine(torch.zeros(64))
    after = {"weight": scale * torch.randn(64, generator=torch.Generator().manual_seed(seed))}
    found = Expanded(pressed(after, pristine), pristine)["weight"]
    assert (found - after["weight"]).abs().max() <= after["weight"].abs().max() * 2**-11


class FakePristine(dict):
    """One weight, not fresh."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__(weight=weight)
        self.fresh = frozenset()


def test_pressing_what_was_pressed_changes_nothing(learner: Classifier):
    once = Expanded(pressed(trained(learner), learner.pristine), learner.pristine)
    twice = Expanded(pressed(once, learner.pristine), learner.pristine)
    assert all(torch.allclose(once[name], twice[name], atol=1e-8) for name in once)
    assert any(name.endswith(SCALE) for name in pressed(once, learner.pristine))


@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_a_copy_in_a_file_is_the_copy_in_memory(tiny_folder: Callable[[str], str], place: Place, kind: str):
    """Bit for bit, the head that is drawn anew too; and whatever is made of either."""
    name, spare = tiny_folder(kind), replace(place, recompute=True)
    held, stored = (Classifier.open(name, TASK, where) for where in (place, spare))
    assert isinstance(stored.pristine.kept, Filed) and not isinstance(held.pristine.kept, Filed)
    assert held.identity == stored.identity and list(held.pristine) == list(stored.pristine)
    for learner in (held, stored):
        learner.reset(1)
        trained(learner)
        learner.reset(2)
    for one, other in zip(held.snapshot().items(), stored.snapshot().items(), strict=True):
        assert one[0] == other[0] and torch.equal(one[1], other[1])
    after = trained(held)
    pairs = [(Expanded(pressed(after, each.pristine), each.pristine)) for each in (held, stored)]
    assert all(torch.equal(pairs[0][key], pairs[1][key]) for key in after)


def test_what_is_read_from_a_file_can_be_written_to_without_harm():
    given = {
        "odd": torch.ones(3).half(),
        "whole": torch.arange(5),
        "one": torch.tensor(2.5),
        "none": torch.empty(0, 3),
    }
    kept = Filed(given)
    for tensor in kept.values():
        tensor.zero_()
    assert len(kept) == 4 and all(torch.equal(kept[name], tensor) for name, tensor in given.items())
    assert all(kept[name].dtype == tensor.dtype for name, tensor in given.items())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_no_room_for_a_copy_is_said_with_the_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filed, "TemporaryFile", partial(Path("/dev/full").open, "wb"))
    with pytest.raises(ResourceError, match="temporary files: No space left") as fault:
        Filed({"one": torch.ones(2**16)})
    assert "TMPDIR" in fault.value.remedy


def test_of_a_hollow_copy_only_the_head_takes_memory(learner: Classifier):
    places = {name: tensor.device.type for name, tensor in tensors(learner.pristine.frame).items()}
    assert {name for name, place in places.items() if place != "meta"} == learner.pristine.fresh


def test_a_state_in_half_precision_may_be_read_twice():
    pristine = FakePristine(torch.ones(4).half())
    found = Expanded(pressed({"weight": torch.full((4,), 1.5).half()}, pristine), pristine)
    assert torch.equal(found["weight"], found["weight"]) and torch.equal(found["weight"], torch.full((4,), 1.5).half())


def test_vectors_are_kept_exactly_and_written_whole(tmp_path: Path):
    shelf, vector = Vectors(tmp_path / "teachers"), torch.randn(1000)
    shelf["0.1.0.2"] = vector
    assert torch.equal(shelf["0.1.0.2"], vector) and "0.1.0.3" not in shelf
    assert [file.name for file in (tmp_path / "teachers").iterdir()] == ["0.1.0.2.safetensors"]
