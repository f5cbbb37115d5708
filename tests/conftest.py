"""For all tests: no network, and a tiny task with models from scratch, made once and opened anew for each test."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported
os.environ.setdefault("DILM_PROGRESS", "none")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from dilm.types import Dataset, Example, Task

if TYPE_CHECKING:
    import torch

    from dilm.models.causal import CausalGenerator
    from dilm.models.classifier import Classifier

settings.register_profile("same", derandomize=True)  # the same examples at every run
settings.load_profile("same")

collect_ignore_glob = ["conftest.py", "*/conftest.py"]
"""Else `--doctest-modules` would import each of them a second time, all under one and the same name."""


def pytest_collection_finish() -> None:
    """Every stage has garbage collected; what lives as long as the tests need not be looked through each time."""
    gc.collect()
    gc.freeze()


FILMS = Task("films", ("text",), ("bad", "good"), max_tokens=16)
THINGS = ("plot", "music", "end", "cast", "film", "script")
WORDS = (("dull", "slow", "bad"), ("warm", "lovely", "fine"))


@pytest.fixture(scope="session")
def train() -> Dataset:
    """Eighteen reviews of each class."""
    texts = [(f"the {thing} was {word}", label) for label in (0, 1) for thing in THINGS for word in WORDS[label]]
    return Dataset(FILMS, [Example((text,), label) for text, label in texts])


@pytest.fixture(scope="session")
def folders(train: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a generator and of a learner, one layer each."""
    from dilm.models import scratch

    place, size = tmp_path_factory.mktemp("models"), scratch.Size(layers=1, width=16, heads=2)
    texts = [example.texts[0] for example in train]
    makers = {
        "generator": ("causal", scratch.small_gpt2, 0.2),
        "learner": ("masked", scratch.small_bert, 0.6),
    }
    for role, (kind, make, by) in makers.items():
        tokenizer = scratch.train_tokenizer(texts, vocabulary=300, kind=kind)
        model = make(tokenizer, size, 0)
        shake(model, by)
        scratch.save(model, tokenizer, place / role)
    return {role: place / role for role in makers}


def shake(model: torch.nn.Module, by: float) -> None:
    """Weights large enough for texts to differ in likelihood and in features; a fresh model hardly tells them apart."""
    import torch

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        for parameter in model.parameters():
            parameter.add_(by * torch.randn(parameter.shape))


@pytest.fixture
def new_generator(folders: dict[str, Path]) -> Callable[[], CausalGenerator]:
    from dilm.models.causal import CausalGenerator
    from dilm.runtime.device import choose

    return lambda: CausalGenerator.open(str(folders["generator"]), FILMS, choose("cpu", "fp32"))


@pytest.fixture
def new_learner(folders: dict[str, Path]) -> Callable[[], Classifier]:
    from dilm.models.classifier import Classifier
    from dilm.runtime.device import choose

    def opened() -> Classifier:
        learner = Classifier.open(str(folders["learner"]), FILMS, choose("cpu", "fp32"), 16)
        learner.reset(0)
        return learner

    return opened
