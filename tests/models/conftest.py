"""Folders of tiny random models, made once for the tests of this folder."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_model, tiny_tokenizer

from dilm.models.scratch import save
from dilm.runtime.device import Place


@pytest.fixture(scope="session")
def place() -> Place:
    return Place(torch.device("cpu"))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a tiny model without a classification head, made once for each architecture."""
    made: dict[str, str] = {}

    def folder(kind: str) -> str:
        if kind not in made:
            path: Path = tmp_path_factory.mktemp(kind)
            tokenizer = tiny_tokenizer(kind)
            save(tiny_model(kind, tokenizer), tokenizer, path)
            made[kind] = str(path)
        return made[kind]

    return folder
