"""Any language model behind the `Encoder` socket: the mean of its last hidden states, scaled to length 1."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from dilm.models.encodings import Batch, Encodings
from dilm.models.hub import open_model, open_tokenizer
from dilm.models.padding_free import PaddingFree
from dilm.models.pieces import tokens_read_at_once
from dilm.protocols import Encoder
from dilm.runtime import memory
from dilm.runtime.device import Place
from dilm.runtime.progress import Advance, bar
from dilm.types import Dataset, Example

MAX_TOKENS = 128
MANY = 2000
"""Rows above which progress is shown, and points are worth keeping on disk."""


class FeatureEncoder:
    """Examples as points on the unit sphere; fields are read together, one after the other."""

    def __init__(self, model: PreTrainedModel, encodings: Encodings, place: Place) -> None:
        body = model.get_encoder() if model.config.is_encoder_decoder else model
        self.model = body.to(place.device).eval()  # type: ignore[arg-type]
        self.padding_free = PaddingFree(self.model)
        self.encodings = encodings
        self.appetite = memory.Appetite("tokens", least=encodings.limit)
        self.place = place
        encodings.settle_side(self._read, place.device)

    @classmethod
    def open(cls, name: str, place: Place, max_tokens: int = MAX_TOKENS) -> FeatureEncoder:
        """From a hub id or a local folder. Raises ModelError or ResourceError."""
        return cls.from_parts(open_model(AutoModel, name), open_tokenizer(name), place, max_tokens)

    @classmethod
    def from_parts(
        cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, place: Place, max_tokens: int = MAX_TOKENS
    ) -> FeatureEncoder:
        """From a model without a head and its tokenizer."""
        return cls(model, Encodings(tokenizer, model, max_tokens), place)

    @torch.no_grad()
    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        """float32 [n, d], each row of length 1; a point does not depend on its neighbours in the batch."""
        with memory.guard("one example in the encoder", "Lower the encoder's max_tokens, or use a smaller encoder."):
            together = tokens_read_at_once(self.place, self.model.config)
            return self.appetite.feed(together, partial(self._encode, examples))

    def _encode(self, examples: Sequence[Example], tokens: int) -> np.ndarray:
        """So many tokens at a time."""
        points = np.zeros((len(examples), self.model.config.hidden_size), dtype=np.float32)
        where = self.place.device, self.padding_free.spread
        with _progress(len(examples)) as advance:
            for positions, batch in self.encodings.batches(examples, tokens, *where):
                with self.place.autocast(), self.padding_free(batch["attention_mask"]):
                    points[positions] = self._read(batch).cpu().numpy()
                advance(len(positions))
        return points

    def _read(self, batch: Batch) -> Tensor:
        return mean_direction(self.model(**batch).last_hidden_state.float(), batch["attention_mask"])


class CachedEncoder:
    """An encoder that computes no text twice: points are kept by texts, and whole arrays by a dataset's fingerprint.

    With a `folder`, arrays of the `lasting` datasets, named by fingerprint, outlive the process if they have many rows:
    another run on the same data reads them from there. The folder must belong to one encoder, since a file is known by
    its dataset alone.
    """

    def __init__(self, encoder: Encoder, folder: Path | None = None, lasting: Collection[str] = ()) -> None:
        self.encoder = encoder
        self.folder = folder
        self.lasting = frozenset(lasting)
        self._points: dict[tuple[str, ...], np.ndarray] = {}
        self._arrays: dict[str, np.ndarray] = {}

    def encode(self, examples: Sequence[Example]) -> np.ndarray:
        """float32 [n, d], read-only, since callers share it."""
        if not isinstance(examples, Dataset):
            return self._assemble(examples)
        if examples.fingerprint not in self._arrays:
            self._arrays[examples.fingerprint] = self._kept(examples)
        return self._arrays[examples.fingerprint]

    def _kept(self, examples: Dataset) -> np.ndarray:
        """From the folder where it has them; what was computed for many rows is put there."""
        if self.folder is None or len(examples) <= MANY:
            return self._assemble(examples)
        file = self.folder / f"{examples.fingerprint}.npy"
        if file.exists():
            points = np.load(file, mmap_mode="r")
            self._remember(examples, np.asarray(points))  # some of these rows may be asked for on their own
            return points
        points = self._assemble(examples)
        if examples.fingerprint not in self.lasting:
            return points
        self.folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.npy")  # two runs may compute the same at once
        np.save(part, points)
        part.replace(file)
        return points

    def _assemble(self, examples: Sequence[Example]) -> np.ndarray:
        new = list({example.texts: example for example in examples if example.texts not in self._points}.values())
        if new or not examples:
            points = self.encoder.encode(new)
            self._remember(new, points)
        found = np.stack([self._points[example.texts] for example in examples]) if examples else points
        found.flags.writeable = False
        return found

    def _remember(self, examples: Iterable[Example], points: np.ndarray) -> None:
        self._points.update((example.texts, point) for example, point in zip(examples, points, strict=True))


def mean_direction(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that are no padding, scaled to length 1: [n, T, d], [n, T] -> [n, d]."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    mean = (states * weights).sum(1) / weights.sum(1)
    return torch.nn.functional.normalize(mean, dim=-1)


def _progress(rows: int) -> AbstractContextManager[Advance]:
    return bar("encode", rows) if rows > MANY else nullcontext(lambda steps=1, **facts: None)
