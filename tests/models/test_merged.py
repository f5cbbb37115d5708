"""An adapted model says the same when all that its adapters add stands in its own weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_models import PAIRS, TASK
from torch import nn
from transformers import AutoModelForCausalLM

from dilm.models.adapters import Adapters
from dilm.models.causal import CausalGenerator
from dilm.models.merged import whole
from dilm.runtime.device import Place
from dilm.types import Task


def stirred(model: nn.Module) -> None:
    """As if its adapters had learnt much."""
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in filter(lambda each: each.requires_grad, model.parameters()):
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng))


@pytest.mark.parametrize("task", [TASK, PAIRS])
@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("gpt2", Adapters(rank=2)),
        ("gpt2", Adapters(rank=2, targets=("lm_head",))),
        ("llama", Adapters(rank=2, kind="dora")),
        ("llama", Adapters(rank=2, targets=("q_proj", "lm_head"))),
    ],
)
def test_merged_weights_say_the_same_in_an_ordinary_folder(
    tiny_folder: Callable[[str], str], place: Place, tmp_path, kind: str, wanted: Adapters, task: Task
):
    generator = CausalGenerator.open(tiny_folder(kind), task, place)
    generator.adapt(wanted, 0)
    stirred(generator.model)
    generator.eval()
    before = {name: each.clone() for name, each in generator.model.named_parameters()}
    whole(generator.model).save_pretrained(tmp_path)  # type: ignore[arg-type]
    read = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    tokens = torch.tensor([[generator.conditions[1], 9, generator.separator, 11, 4]])
    with torch.no_grad():
        own, theirs = (model(input_ids=tokens).logits for model in (generator.model, read))
    assert torch.allclose(own, theirs, atol=1e-3)
    assert (own - own.mean()).abs().max() > 0.1
    assert all(torch.equal(each, before[name]) for name, each in generator.model.named_parameters())


def test_a_model_without_adapters_is_itself(tiny_folder: Callable[[str], str], place: Place):
    model = CausalGenerator.open(tiny_folder("gpt2"), TASK, place).model
    assert whole(model) is model  # type: ignore[arg-type]
