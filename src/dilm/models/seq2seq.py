"""Encoder-decoders (T5, BART) as generators: the encoder reads the condition, texts stand in the decoder.

`Conditioned` gives such a model the face of a decoder whose first token is the condition, so that likelihoods are taken
and texts are written as of any other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from dilm.errors import ModelError
from dilm.models.decoders import open_causal_model
from dilm.models.hub import open_config, open_model


class Conditioned(nn.Module):
    """An encoder-decoder that reads the first token of a row with its encoder, framed, and the others with its decoder,
    which begins with its own start token."""

    def __init__(self, model: PreTrainedModel, before: list[int], behind: list[int]) -> None:
        """`before` and `behind` frame what the encoder reads."""
        super().__init__()
        self.inner = model
        self.before, self.behind = before, behind
        self.start: int = model.config.decoder_start_token_id

    @property
    def config(self) -> Any:
        return self.inner.config

    @property
    def device(self) -> torch.device:
        return self.inner.device

    def get_output_embeddings(self) -> nn.Module:
        return self.inner.get_output_embeddings()  # type: ignore[return-value]

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        """Condition and text, [n, T] -> `logits` [n, T, V] of what follows each token."""
        read = torch.cat([torch.full_like(input_ids[:, :1], self.start), input_ids[:, 1:]], dim=1)
        return self.decoded(read, self.encoded(input_ids[:, 0]), decoder_attention_mask=attention_mask, use_cache=False)

    def encoded(self, conditions: Tensor) -> Tensor:
        """What the encoder makes of conditions: [n] -> [n, its tokens, d]."""
        rows = [conditions.new_tensor(part).expand(len(conditions), -1) for part in (self.before, self.behind)]
        return self.inner.get_encoder()(input_ids=torch.cat([rows[0], conditions[:, None], rows[1]], 1))[0]

    def decoded(self, read: Tensor, states: Tensor, **options: Any) -> Any:
        """The decoder's answer to tokens [n, T] beside the encoder's states."""
        return self.inner(encoder_outputs=BaseModelOutput(states), decoder_input_ids=read, **options)

    def road(self) -> Telling:
        """For sampling, token by token."""
        return Telling(self)


class Telling:
    """A growing cache of the decoder; what the encoder said is kept beside it."""

    def __init__(self, model: Conditioned) -> None:
        self.model = model
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.states: Tensor | None = None

    def read(self, tokens: Tensor) -> Tensor:
        """Every row reads one token, the condition at first: [rows] -> float32 logits of the next, [rows, V]."""
        if self.states is None:
            self.states, tokens = self.model.encoded(tokens), torch.full_like(tokens, self.model.start)
        told = self.model.decoded(tokens[:, None], self.states, past_key_values=self.cache, use_cache=True)
        return told.logits[:, -1].float()

    def renew(self, rows: Tensor) -> None:
        """No row begins another text."""
        assert len(rows) == 0, "the rows of a growing cache are all equally long"

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        assert self.states is not None
        self.cache.batch_select_indices(rows)
        self.states = self.states[rows]


def open_writer(name: str, tokenizer: PreTrainedTokenizerBase, **options: Any) -> PreTrainedModel | Conditioned:
    """Whatever of this name can write: a causal model, an encoder as a decoder, or an encoder-decoder.

    Raises ModelError where the model cannot write left to right.
    """
    if not open_config(name).is_encoder_decoder:
        return open_causal_model(name, **options)
    model = open_model(AutoModelForSeq2SeqLM, name, **options)
    if model.config.decoder_start_token_id is None:
        raise ModelError(f"{name!r} does not say how its decoder begins.", "Set decoder_start_token_id in its config.")
    before = [token for token in (tokenizer.bos_token_id, tokenizer.cls_token_id) if token is not None][:1]
    behind = [token for token in (tokenizer.eos_token_id, tokenizer.sep_token_id) if token is not None][:1]
    return Conditioned(model, before, behind)  # type: ignore[arg-type]
