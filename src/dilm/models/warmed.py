"""A causal language model that has read unlabelled texts: what a learner of a generation task is without a hub."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dilm.models.decoders import only_positions, start_and_end
from dilm.models.padding_free import PaddingFree
from dilm.models.scratch import WARM_UP_TOKENS, WarmUp, warmed
from dilm.runtime import meter
from dilm.runtime.batches import rows_of_step
from dilm.runtime.device import Place
from dilm.runtime.seeding import derive


def warm_up_causal(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    wanted: WarmUp,
    seed: int,
    place: Place,
) -> list[dict[str, float]]:
    """Train `model` in place to foretell single texts, so that no answer is seen beside its question; its curve."""
    start, end = start_and_end(tokenizer)
    read = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    padding_free = PaddingFree(model)
    rows = [[start, *tokens[:WARM_UP_TOKENS], end] for tokens in read]  # type: ignore[union-attr]

    def loss(step: int) -> Tensor:
        chosen = rows_of_step(len(rows), step, wanted.batch, derive(seed, "warm_up"))
        return _mean_nll(padding_free, [rows[row] for row in chosen], end, place)

    return warmed(model, loss, wanted, seed, place)


def _mean_nll(padding_free: PaddingFree, rows: list[list[int]], filler: int, place: Place) -> Tensor:
    """Of all tokens of a batch, padded on the right."""
    model = padding_free.model
    meter.count(sum(map(len, rows)))
    width = max(map(len, rows))
    tokens = torch.tensor([row + [filler] * (width - len(row)) for row in rows], device=place.device)
    lengths = torch.tensor([len(row) for row in rows], device=place.device)
    mask = torch.arange(width, device=place.device) < lengths[:, None]
    real = mask[:, 1:]
    with place.autocast(), only_positions(model, nn.functional.pad(real, (0, 1))), padding_free(mask):
        logits = model(input_ids=tokens, attention_mask=mask.long()).logits
    return nn.functional.cross_entropy(logits.float(), tokens[:, 1:][real])
