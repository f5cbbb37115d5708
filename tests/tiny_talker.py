"""A tiny Llama that has learnt to answer: few-shot prompts of the film task, and the folder that it opens from."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dilm.models import scratch
from dilm.runtime.batches import rows_of_step
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.seeding import python_stream
from dilm.types import Dataset

SHOWN = 4
"""Examples in one of the texts that it learns from; turning positions carry it further."""
STEPS, BATCH = 80, 16
WEIGHT = 10
"""A label counts for as many other tokens: there are few labels, and all else is said by heart."""


def prompts(rows: Dataset, count: int) -> list[str]:
    """Texts of a few answered examples each, in the template that a task without one gets."""
    answered = [f"text: {row.texts[0]}\nlabel: {rows.task.labels[row.label]}" for row in rows]
    return ["\n\n".join(python_stream(0, "prompt", number).sample(answered, SHOWN)) for number in range(count)]


def train_talker(rows: Dataset, folder: Path) -> str:
    """Train on prompts until the label follows from the text; returns the folder."""
    texts = prompts(rows, 160)
    tokenizer = scratch.train_tokenizer(texts, vocabulary=400)
    model = small_llama(tokenizer)
    update = AdamW(model.parameters(), Schedule(STEPS, 1e-2))
    tokens = torch.tensor([tokenizer(text)["input_ids"] for text in texts])  # all equally long
    names = tokenizer.convert_tokens_to_ids([f"Ġ{label}" for label in rows.task.labels])
    weights = 1 + WEIGHT * torch.isin(tokens, torch.tensor(names))[:, 1:]
    for step in range(STEPS):
        chosen = list(rows_of_step(len(tokens), step, BATCH, 0))
        batch, weight = tokens[chosen], weights[chosen]
        logits = model(input_ids=batch, attention_mask=torch.ones_like(batch)).logits[:, :-1]
        nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:], reduction="none")
        update([(nll * weight).sum() / weight.sum()], 1)
    scratch.save(model, tokenizer, folder)
    return str(folder)


def small_llama(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    marks = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("pad", "bos", "eos")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **marks, **shape))
