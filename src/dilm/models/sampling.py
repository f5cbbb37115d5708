"""Sampling token by token with a key/value cache: finished rows leave the batch, so short texts never wait."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

CANDIDATES = 1024
"""Likeliest tokens looked at first; the full vocabulary is sorted only where they hold less than `top_p`."""


@dataclass(frozen=True)
class Sampling:
    """How texts are drawn (paper 1.6: top-p 0.95)."""

    top_p: float = 0.95
    top_k: int = 0
    """0 keeps every token."""
    temperature: float = 1.0
    max_tokens: int = 64
    batch: int = 256


@torch.no_grad()
def sample_tokens(
    model: PreTrainedModel, ends: tuple[int, int], n: int, sampling: Sampling, rng: torch.Generator, banned: Tensor
) -> list[list[int]]:
    """`n` token sequences between the two `ends`: each without its start token, with its end token where it has one.

    `banned` [b] are token numbers that are never written. The draws depend on `rng` and `sampling.batch` only.
    """
    local = torch.Generator(model.device).manual_seed(int(torch.randint(2**31, (1,), generator=rng)))
    texts: list[list[int]] = []
    for first in range(0, n, sampling.batch):
        size = min(sampling.batch, n - first)
        texts += _sample_batch(model, (*ends, size), sampling, local, banned)
    return texts


def _sample_batch(
    model: PreTrainedModel, job: tuple[int, int, int], sampling: Sampling, rng: torch.Generator, banned: Tensor
) -> list[list[int]]:
    start, end, size = job
    cache = DynamicCache(config=model.config)
    texts: list[list[int]] = [[] for _ in range(size)]
    rows = torch.arange(size)  # which text each row of the batch writes
    tokens = torch.full((size,), start, device=model.device)
    for _ in range(sampling.max_tokens + 1):  # one more for the end token
        logits = model(input_ids=tokens[:, None], past_key_values=cache, use_cache=True).logits[:, -1].float()
        logits[:, banned] = -torch.inf
        tokens = draw(logits, sampling, rng)
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            texts[row].append(token)
        alive = (tokens != end).nonzero().squeeze(1)
        if len(alive) == 0:
            break
        if len(alive) < len(tokens):
            cache.batch_select_indices(alive)
            rows, tokens = rows[alive.cpu()], tokens[alive]
    return texts


def draw(logits: Tensor, sampling: Sampling, rng: torch.Generator) -> Tensor:
    """One token for each row by temperature, top-k and exact top-p: [n, V] -> [n]."""
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    keep = min(sampling.top_k or CANDIDATES, logits.shape[1])
    mass, tokens = probabilities.topk(keep, dim=-1)
    if not sampling.top_k and bool((mass.sum(-1) < sampling.top_p).any()):
        mass, tokens = probabilities.sort(dim=-1, descending=True)
    mass = mass / mass.sum(-1, keepdim=True) if sampling.top_k else mass
    before = mass.cumsum(-1) - mass  # probability of likelier tokens: the first token is always kept
    mass = mass.masked_fill(before >= sampling.top_p, 0.0)
    choice = torch.multinomial(mass, 1, generator=rng)
    return tokens.gather(1, choice).squeeze(1)
