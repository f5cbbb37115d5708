"""The place where tensors live: what is asked for is what one gets, or an error that says why not."""

from __future__ import annotations

import pytest
import torch

from dilm.errors import RecipeError
from dilm.runtime import device
from dilm.runtime.device import Place, choose, finest


@pytest.mark.parametrize(("precision", "bf16"), [("fp32", False), ("bf16", True)])
def test_a_precision_that_is_asked_for_is_given(precision: str, bf16: bool):
    assert choose("cpu", precision) == Place(torch.device("cpu"), bf16)


@pytest.mark.parametrize("fast", [False, True])
def test_auto_takes_bf16_only_where_the_hardware_multiplies_it(fast: bool, monkeypatch):
    monkeypatch.setattr(device, "bf16_is_fast", lambda place: fast)
    assert choose("cpu", "auto").bf16 is fast


@pytest.mark.parametrize("name", ["cuda:99", "meta-device", "gpu", "mps:7"])
def test_a_device_that_is_not_here_is_one_paragraph(name: str):
    with pytest.raises(RecipeError) as told:
        choose(name)
    assert repr(name) in told.value.problem and "\n" not in told.value.problem
    assert "--device" in told.value.remedy


def test_an_unknown_precision_is_told_the_known_ones():
    with pytest.raises(RecipeError, match="'fp8' is none of auto, fp32, bf16"):
        choose("cpu", "fp8")


def test_threads_are_set_only_when_asked_for():
    before = torch.get_num_threads()
    try:
        choose("cpu", "fp32", threads=0)
        assert torch.get_num_threads() == before
        choose("cpu", "fp32", threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_autocast_multiplies_in_the_precision_of_the_place():
    factor = torch.ones(2, 2)
    for bf16, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        with Place(torch.device("cpu"), bf16).autocast():
            assert (factor @ factor).dtype == dtype


@pytest.mark.parametrize(("name", "bits"), [("cpu", 64), ("cuda", 64), ("mps", 32)])
def test_the_finest_floats_are_those_that_the_device_has(name: str, bits: int):
    """By its name: none of these need be here."""
    assert torch.finfo(finest(torch.device(name))).bits == bits
