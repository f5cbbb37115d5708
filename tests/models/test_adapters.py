"""Adapters beside frozen weights: these stay bit for bit, and everything else moves, is saved, and comes back."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_models import PAIRS, TASK, rough, rows, tiny_tokenizer
from torch import Tensor

from dilm.errors import ModelError
from dilm.models import adapters
from dilm.models.adapters import Adapters
from dilm.models.causal import CausalGenerator
from dilm.models.decoders import inner
from dilm.models.scratch import Size, save, small_gpt2
from dilm.privacy.dpsgd import Hooked, row_by_row
from dilm.runtime.device import Place
from dilm.runtime.optimize import AdamW, Schedule

KINDS = ("gpt2", "llama", "bert", "t5", "bart")
Opener = Callable[..., CausalGenerator]


@pytest.fixture
def adapted(tiny_folder: Callable[[str], str], place: Place) -> Opener:
    def opener(kind: str, wanted: Adapters | None = None, seed: int = 0, task=PAIRS) -> CausalGenerator:
        folder = tiny_folder(kind)
        torch.manual_seed(1)
        generator = CausalGenerator.open(folder, task, place)
        rough(inner(generator.model))
        generator.adapt(wanted or Adapters(4), seed)
        generator.eval()
        return generator

    return opener


def split(generator: CausalGenerator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Copies of what is frozen, and of what is trained."""
    named = list(generator.model.named_parameters())
    frozen = {name: each.detach().clone() for name, each in named if not each.requires_grad}
    return frozen, {name: each.detach().clone() for name, each in named if each.requires_grad}


def train(generator: CausalGenerator, steps: int = 3) -> None:
    update = AdamW(generator.parameters(), Schedule(steps, 1e-2, weight_decay=0.1))
    generator.train()
    for _ in range(steps):
        update([generator.nll(rows(generator.task)).mean()], 1)
    generator.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_training_leaves_the_base_bit_for_bit_and_changes_the_outputs(adapted: Opener, kind: str):
    generator, examples = adapted(kind), rows(PAIRS)
    before, likely = split(generator), generator.nll(examples).detach()
    train(generator)
    after = split(generator)
    assert before[0].keys() == after[0].keys() and all(torch.equal(before[0][n], after[0][n]) for n in before[0])
    assert len(before[0]) > 15  # the base is there at all
    still = [name for name, each in before[1].items() if torch.equal(each, after[1][name])]
    assert still == []  # every adapter moved: none was made on another device, or left out of the forward pass
    assert (generator.nll(examples) - likely).abs().mean() > 1e-2


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
@pytest.mark.parametrize("which", ["lora", "dora"])
def test_fresh_adapters_change_nothing_and_are_drawn_by_their_seed(adapted, tiny_folder, place, kind: str, which: str):
    torch.manual_seed(1)
    plain = CausalGenerator.open(tiny_folder(kind), PAIRS, place)
    rough(inner(plain.model))
    generators = [adapted(kind, Adapters(4, which), seed) for seed in (0, 0, 1)]
    for generator in generators:
        torch.testing.assert_close(generator.nll(rows(PAIRS)), plain.nll(rows(PAIRS)), rtol=1e-5, atol=1e-5)
    one, again, other = (split(generator)[1] for generator in generators)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
def test_only_adapters_are_saved_and_they_come_back(adapted: Opener, tmp_path: Path, kind: str):
    generator = adapted(kind, Adapters(2, dropout=0.1))
    train(generator)
    generator.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} >= {"adapter_config.json", adapters.WEIGHTS, adapters.MARKS}
    assert not (tmp_path / "model.safetensors").exists()
    assert str(tmp_path.parent) not in (tmp_path / "adapter_config.json").read_text("utf-8")
    again = adapted(kind, Adapters(2, dropout=0.1), seed=9)
    adapters.load(inner(again.model), tmp_path)
    assert torch.equal(again.nll(rows(PAIRS)), generator.nll(rows(PAIRS)))
    draws = [each.sample(1, 5, torch.Generator().manual_seed(0)) for each in (generator, again)]
    assert draws[0] == draws[1]


def test_a_class_begins_with_its_name_in_rows_of_its_own(adapted: Opener):
    generator = adapted("gpt2")
    before, likely = split(generator), generator.nll(rows(PAIRS)).detach()
    generator.name_classes()
    after = split(generator)
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert not torch.equal(before[1]["marks.rows"], after[1]["marks.rows"])
    assert (generator.nll(rows(PAIRS)) - likely).abs().min() > 1e-4


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_activations_that_are_computed_again_change_nothing(adapted: Opener, kind: str):
    """`runtime.recompute` is the gradient checkpointing of generators, frozen weights or not."""
    found = []
    for recompute in (False, True):
        generator = adapted(kind, Adapters(4, dropout=0.2))
        generator.recompute = recompute
        generator.train()
        torch.manual_seed(7)
        trained = [parameter for parameter in generator.parameters() if parameter.requires_grad]
        found.append(torch.autograd.grad(generator.nll(rows(PAIRS)).square().sum(), trained))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_opacus_tells_the_gradients_of_single_rows_apart(adapted: Opener):
    """Issue Opacus #820: adapters, hooks, and a model that learns nothing while its budget is spent."""
    generator, examples = adapted("gpt2", task=TASK), rows(TASK)
    train(generator)  # fresh, half of all adapters have no gradient
    generator.read_at_once()
    generator.freeze_vocabulary()
    trained = [parameter for parameter in generator.parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 4 * 2  # of four linear layers in two blocks; no rows of tokens
    fast = Hooked(generator.model)(generator.nll, examples, trained)
    for one, other in zip(fast, row_by_row(generator.nll, examples, trained), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
        assert other.abs().max() > 1e-6


def test_other_layers_can_be_named_and_wrong_names_are_told(adapted: Opener):
    generator = adapted("llama", Adapters(2, targets=("q_proj", "v_proj")))
    touched = {name.split(".")[-4] for name in split(generator)[1] if "lora" in name}
    assert touched == {"q_proj", "v_proj"}
    with pytest.raises(ModelError, match=r"cannot be put into.*adapters\.targets"):
        adapted("llama", Adapters(2, targets=("nowhere",)))


@pytest.mark.parametrize(("library", "extra"), [("peft", "adapters"), ("bitsandbytes", "quantized")])
def test_what_is_not_installed_is_named_with_its_extra(adapted: Opener, monkeypatch, library: str, extra: str):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=rf"{library}, which is not installed.*dilm\[{extra}\]"):
        adapted("gpt2") if library == "peft" else adapters.opening("4bit", torch.device("cpu"))


@pytest.mark.parametrize("base", ["bf16", "8bit", "4bit"])
def test_a_frozen_base_may_be_held_in_fewer_bits(tmp_path: Path, place: Place, base: str):
    """And goes on writing and learning in turns: on a processor bitsandbytes packs weights anew for either."""
    if base in adapters.SMALL:
        pytest.importorskip("bitsandbytes")
    tokenizer = tiny_tokenizer("gpt2")
    save(small_gpt2(tokenizer, Size(1, 64, 2), 0), tokenizer, tmp_path)  # matrices of 32 columns and more
    generator = CausalGenerator.open(str(tmp_path), TASK, place, **adapters.opening(base, place.device))
    generator.adapt(Adapters(2), 0)
    assert len(generator.sample(0, 3, torch.Generator().manual_seed(0))) == 3
    generator.train()
    before, likely = split(generator), generator.nll(rows()).detach()
    train(generator)
    after = split(generator)
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert {each.dtype for each in before[1].values()} == {torch.float32}
    assert {str(each.dtype) for name, each in before[0].items() if "c_attn.base_layer.weight" in name} == {
        {"bf16": "torch.bfloat16", "8bit": "torch.int8", "4bit": "torch.uint8"}[base]
    }
    assert (generator.nll(rows()) - likely).abs().min() > 1e-3
    assert len(generator.sample(0, 3, torch.Generator().manual_seed(0))) == 3
