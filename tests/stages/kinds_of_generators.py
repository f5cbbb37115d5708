"""Small models of every kind that can write, made on the spot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BartConfig,
    LlamaConfig,
    PreTrainedTokenizerBase,
    T5Config,
)

from dilm.models.scratch import save

CHAT = (
    "{% for m in messages %}{{ bos_token + m['role'] + ' ' + m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ bos_token + 'assistant ' }}{% endif %}"
)
SMALL = {"d_model": 32, "decoder_start_token_id": 0}
T5 = {"d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2} | SMALL
BART: dict[str, Any] = {
    **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
    **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
    **{f"{part}_ffn_dim": 64 for part in ("encoder", "decoder")},
}
LLAMA = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
MADE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "t5": lambda marks: AutoModelForSeq2SeqLM.from_config(T5Config(**marks, **T5)),
    "bart": lambda marks: AutoModelForSeq2SeqLM.from_config(
        BartConfig(**marks, **BART, **SMALL, max_position_embeddings=64)
    ),
    "llama": lambda marks: AutoModelForCausalLM.from_config(LlamaConfig(**marks, **LLAMA)),
}
ASK = {"instruct.ask": "write a review that is {label}", "instruct.demonstrations": 1}
"""Settings of a chat model."""


def make(kind: str, like: Path, folder: Path) -> None:
    """A random model with the tokenizer of a finished GPT-2; `chat`: that GPT-2 with words for a conversation."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(like)
    tokenizer.pad_token, tokenizer.chat_template = None, CHAT
    if kind == "chat":
        shutil.copytree(like, folder)
        tokenizer.save_pretrained(folder)
        return
    marks = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos")}
    torch.manual_seed(0)
    save(MADE[kind]({"vocab_size": len(tokenizer), "pad_token_id": 0} | marks), tokenizer, folder)
