"""Sampling token by token with a key/value cache: finished rows leave the batch, so short texts never wait."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

BLOCK = 256
"""Tokens summed together before one is drawn: a running sum over the whole vocabulary is several times slower."""


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
    """One token for each row by temperature, top-k and exact top-p: [n, V] -> [n].

    No sorting: a token is drawn from the whole distribution, and drawn again where the tokens likelier than it hold
    `top_p` of the mass or more. That is the nucleus, renormalised.
    """
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    if 0 < sampling.top_k < logits.shape[1]:
        least = probabilities.topk(sampling.top_k, dim=-1).values[:, -1:]
        probabilities = probabilities.masked_fill(probabilities < least, 0.0)
    tokens = torch.empty(len(logits), dtype=torch.long, device=logits.device)
    pending = torch.arange(len(logits), device=logits.device)
    mass = probabilities
    while len(pending):
        drawn = draw_any(mass, rng)
        own = mass.gather(1, drawn[:, None])
        likelier = ((mass > own) * mass).sum(-1)
        tokens[pending] = drawn
        again = (likelier >= sampling.top_p * mass.sum(-1)) | (own.squeeze(1) == 0)
        pending, mass = pending[again], mass[again]
    return tokens


def draw_any(mass: Tensor, rng: torch.Generator) -> Tensor:
    """One token for each row in proportion to its mass: [n, V] -> [n]. First a block of tokens, then one in it."""
    blocks = nn.functional.pad(mass, (0, -mass.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    sums = blocks.sum(-1).double().cumsum(-1)  # [n, blocks]
    heights = torch.rand(len(mass), 1, generator=rng, device=mass.device, dtype=torch.float64) * sums[:, -1:]
    block = torch.searchsorted(sums, heights, right=True).clamp(max=sums.shape[1] - 1)
    inside = blocks[torch.arange(len(mass), device=mass.device), block.squeeze(1)].double().cumsum(-1)
    heights = heights - sums.gather(1, block) + inside[:, -1:]
    place = torch.searchsorted(inside, heights, right=True).clamp(max=BLOCK - 1)
    return (block * BLOCK + place).squeeze(1).clamp(max=mass.shape[1] - 1)
