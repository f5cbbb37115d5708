"""A tiny task, a generator and a learner from scratch, made once and opened anew for each test."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dilm.models import scratch
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.runtime.device import Place
from dilm.types import Dataset, Example, Task

TASK = Task("films", ("text",), ("bad", "good"), max_tokens=16)
THINGS = ("plot", "music", "end", "cast", "film", "script")
WORDS = (("dull", "slow", "bad"), ("warm", "lovely", "fine"))
CPU = Place(torch.device("cpu"))
SIZE = scratch.Size(layers=1, width=16, heads=2)


def shake(model: torch.nn.Module, by: float) -> None:
    """Weights large enough for texts to differ in likelihood and in features; a fresh model hardly tells them apart."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        for parameter in model.parameters():
            parameter.add_(by * torch.randn(parameter.shape))


@pytest.fixture(scope="session")
def train() -> Dataset:
    """Eighteen reviews of each class."""
    texts = [(f"the {thing} was {word}", label) for label in (0, 1) for thing in THINGS for word in WORDS[label]]
    return Dataset(TASK, [Example((text,), label) for text, label in texts])


@pytest.fixture(scope="session")
def folders(train: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    texts = [example.texts[0] for example in train]
    makers = {
        "generator": ("causal", scratch.small_gpt2, 0.2),
        "learner": ("masked", scratch.small_bert, 0.6),
    }
    for role, (kind, make, by) in makers.items():
        tokenizer = scratch.train_tokenizer(texts, vocabulary=300, kind=kind)
        model = make(tokenizer, SIZE, 0)
        shake(model, by)
        scratch.save(model, tokenizer, place / role)
    return {role: place / role for role in makers}


@pytest.fixture
def new_generator(folders: dict[str, Path]) -> Callable[[], CausalGenerator]:
    return lambda: CausalGenerator.open(str(folders["generator"]), TASK, CPU)


@pytest.fixture
def new_learner(folders: dict[str, Path]) -> Callable[[], Classifier]:
    def opened() -> Classifier:
        learner = Classifier.open(str(folders["learner"]), TASK, CPU, 16)
        learner.reset(0)
        return learner

    return opened
