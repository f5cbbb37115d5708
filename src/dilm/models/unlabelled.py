"""A generator and texts of no class: what it makes of them, and what that says of its classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dilm.models import adapters
from dilm.models.causal import CausalGenerator
from dilm.models.decoders import inner
from dilm.models.passages import encoded_within


def unlabelled_nll(generator: CausalGenerator, texts: Sequence[str]) -> Tensor:
    """Mean nll per token of each text after the start token, of no class: n texts -> [n], differentiable."""
    rows = _rows(generator, texts)
    sums, places = generator.sums(rows)
    return torch.cat(sums)[places] / _lengths(generator, rows)


def unlabelled_lengths(generator: CausalGenerator, texts: Sequence[str]) -> Tensor:
    """Tokens that each of these likelihoods is made of, the end included: n texts -> [n]."""
    return _lengths(generator, _rows(generator, texts))


def _rows(generator: CausalGenerator, texts: Sequence[str]) -> list[list[int]]:
    room, separator = generator.sampling.max_tokens, generator.separator
    bodies = [encoded_within([text], room, separator, generator.encode) for text in texts]
    return [[generator.start, *body, generator.end] for body in bodies]


def _lengths(generator: CausalGenerator, rows: list[list[int]]) -> Tensor:
    return torch.tensor([len(row) - 1 for row in rows], device=generator.model.device)


@torch.no_grad()
def classes_as_start(generator: CausalGenerator) -> None:
    """Let every condition begin as the start token is by now."""
    model = inner(generator.model)
    table: Tensor = model.get_input_embeddings().weight  # type: ignore[assignment]
    for condition in generator.conditions:
        rows, place = adapters.row_of(model, condition)
        rows[place] = table[generator.start].to(rows.dtype)
