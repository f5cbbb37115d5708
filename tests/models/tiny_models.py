"""Tiny random models, one per architecture, and the rows that the tests of this folder read."""

from __future__ import annotations

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from dilm.models.scratch import train_tokenizer
from dilm.types import Example, Task

SENTENCES = (
    "a gripping film with a warm heart",
    "dull, slow and far too long",
    "the plot goes nowhere but the music is lovely",
    "i would watch it again tomorrow",
    "no",
    "an honest story, told well by people who care about small things and about each other",
)
TASK = Task("films", ("text",), ("bad", "good", "mixed"))
PAIRS = Task("pairs", ("first", "second"), ("no", "yes"))

KINDS = ("bert", "roberta", "xlnet", "gpt2", "distilbert")
UNPADDED = ("llama", "mistral", "qwen2", "opt", "gpt_neox")
"""Causal language models whose tokenizers often have no padding token."""
OTHERS = ("electra", "deberta-v2", "modernbert", "llama", "t5", "bart")

BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SHORT = {"max_position_embeddings": 40}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
BART = {
    **{
        f"{part}_{what}": size
        for part in ("encoder", "decoder")
        for what, size in (("layers", 1), ("attention_heads", 2))
    },
    **{"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "d_model": 16, "decoder_start_token_id": 3},
}
SHAPES = {
    "bert": BERT | SHORT,
    "roberta": BERT | SHORT,
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32} | SHORT,
    "electra": BERT | {"embedding_size": 8},
    "deberta-v2": BERT | {"type_vocab_size": 2},
    "modernbert": BERT,
    "llama": BERT | {"num_key_value_heads": 2},
    "mistral": BERT | {"num_key_value_heads": 1, "head_dim": 8},
    "qwen2": BERT | {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "opt": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "word_embed_proj_dim": 16,
    }
    | SHORT,
    "gpt_neox": BERT,
    "t5": T5,
    "bart": BART | SHORT,
}


def rows(task: Task = TASK) -> list[Example]:
    """The sentences as examples of a task, labels going round."""
    count = len(task.fields)
    texts = [tuple(SENTENCES[(at + field) % len(SENTENCES)] for field in range(count)) for at in range(len(SENTENCES))]
    return [Example(fields, at % len(task.labels)) for at, fields in enumerate(texts)]


def tiny_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    tokenizer = train_tokenizer(SENTENCES, vocabulary=300, kind="causal" if kind in ("gpt2", *UNPADDED) else "masked")
    if kind in ("t5", "bart"):  # both look for an end token to pool at
        tokenizer.eos_token = tokenizer.sep_token
    return tokenizer


def tiny_model(kind: str, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    marks = {role: getattr(tokenizer, role) for role in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = transformers.AutoConfig.for_model(kind, vocab_size=len(tokenizer), **marks, **SHAPES[kind])
    torch.manual_seed(0)
    return transformers.AutoModel.from_config(config)


def rough(model: PreTrainedModel) -> PreTrainedModel:
    """With weights large enough that a mistake shows."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.eval()
