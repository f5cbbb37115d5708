"""Two roads from a token to the odds of the next: a cache that grows with its rows, and a ring whose rows are refilled.

In the ring, keys and values are [rows, heads, width, d]. At step t every row writes column t mod width, and a row of
booleans says which columns hold the text that it is writing. A text never has more tokens than there are columns, so
none is overwritten while it is needed. The order of columns does not matter: positions are in the keys already.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from dilm.errors import first_line
from dilm.runtime.device import finest

log = logging.getLogger(__name__)

CROWDED = 0.75
"""The ring is copied to fewer rows when this share of them, or less, still writes: a few copies, little idle work."""
ODD = 3
"""The probe's first column: its texts go round the end of the ring."""
EXACT = 1e-3
"""Largest difference that is taken for rounding, as a share of what wrong positions do to the logits."""


class Road(Protocol):
    """Some rows of texts, each read token by token."""

    def read(self, tokens: Tensor) -> Tensor:
        """Every row reads one token: [rows] -> float32 logits of the next, [rows, V]."""
        ...

    def renew(self, rows: Tensor) -> None:
        """These rows forget their texts; what they read next is the start of another."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        ...


class Growing:
    """All rows begin together, and leave one by one: any model, and the oracle of the other road."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.cache = DynamicCache(config=model.config)

    def read(self, tokens: Tensor) -> Tensor:
        return self.model(input_ids=tokens[:, None], past_key_values=self.cache, use_cache=True).logits[:, -1].float()

    def renew(self, rows: Tensor) -> None:
        assert len(rows) == 0, "the rows of a growing cache are all equally long"

    def keep(self, rows: Tensor) -> None:
        self.cache.batch_select_indices(rows)


class Ring:
    """Rows of any age side by side: exact for models that `positions_begin` knows an answer for."""

    def __init__(self, model: PreTrainedModel, rows: int, width: int, first: int = 0) -> None:
        """`width` columns are enough for texts of as many tokens; `first` is the position of a text's first token."""
        self.model, self.width, self.first = model, width, first
        self.step = 0
        self.live = torch.arange(rows, device=model.device)  # rows of the tensors that still write
        self.ages = torch.zeros(rows, dtype=torch.long, device=model.device)
        self.own = torch.zeros(rows, width, dtype=torch.bool, device=model.device)
        self.layers = [RingLayer(self) for _ in range(model.config.get_text_config(decoder=True).num_hidden_layers)]
        self.cache = Cache(layers=list(self.layers))

    @property
    def column(self) -> int:
        return self.step % self.width

    @property
    def used(self) -> int:
        """Columns written so far; what comes after them need not be read."""
        return min(self.step + 1, self.width)

    def read(self, tokens: Tensor) -> Tensor:
        read = torch.zeros_like(self.ages).index_copy_(0, self.live, tokens)  # idle rows read anything
        self.own[:, self.column] = True
        foreign = ~self.own[:, : self.used]
        mask = torch.zeros(foreign.shape, dtype=self.model.dtype, device=read.device).masked_fill_(foreign, -torch.inf)
        logits = self.model(
            input_ids=read[:, None],
            attention_mask=mask[:, None, None],  # [rows, 1, 1, used]
            position_ids=(self.ages.clamp(max=self.width - 1) + self.first)[:, None],  # idle rows grow too old
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        self.step += 1
        self.ages += 1
        return (logits if len(self.live) == len(read) else logits[self.live]).float()

    def renew(self, rows: Tensor) -> None:
        self.own[self.live[rows]] = False
        self.ages[self.live[rows]] = 0

    def keep(self, rows: Tensor) -> None:
        self.live = self.live[rows]
        if len(self.live) <= CROWDED * len(self.ages):
            self.ages, self.own = self.ages[self.live], self.own[self.live]
            for layer in self.layers:
                layer.select(self.live)
            self.live = torch.arange(len(self.live), device=self.live.device)


class RingLayer(CacheLayerMixin):  # inherits because transformers asks what it is
    """Keys and values of one layer, all its columns there from the first token on."""

    is_sliding = False
    keys: Tensor
    values: Tensor

    def __init__(self, ring: Ring) -> None:
        super().__init__()
        self.ring = ring

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write the ring's column: [rows, heads, 1, d] each -> all columns used so far, [rows, heads, used, d]."""
        column, used = self.ring.column, self.ring.used
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys[:, :, column], self.values[:, :, column] = key_states[:, :, 0], value_states[:, :, 0]
        return self.keys[:, :, :used], self.values[:, :, :used]

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Zeros, because what is masked must still be a number."""
        self.keys, self.values = (
            states.new_zeros(*states.shape[:2], self.ring.width, states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def select(self, rows: Tensor) -> None:
        """Only these rows stay."""
        self.keys, self.values = self.keys[rows], self.values[rows]

    def get_seq_length(self) -> int:
        return self.ring.used - 1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.ring.used, 0

    def get_max_length(self) -> int:
        return self.ring.width

    get_max_cache_shape = get_max_length  # its earlier name


def positions_begin(model: PreTrainedModel, width: int) -> int | None:
    """The position of a text's first token where the ring is exact up to `width` tokens; None where it is not.

    Found by trying, once for each model and width: ALiBi, state spaces, windows narrower than the ring, and models that
    ignore `position_ids` or the mask show in the logits.
    """
    known = _found.setdefault(model, {})
    if width not in known:
        known[width] = _probe(model, width)
    return known[width]


_found: WeakKeyDictionary[PreTrainedModel, dict[int, int | None]] = WeakKeyDictionary()


@torch.no_grad()
def _probe(model: PreTrainedModel, width: int) -> int | None:
    for first in (0, (model.config.pad_token_id or 0) + 1):  # RoBERTa counts from behind the padding token
        try:
            with torch.autocast(model.device.type, enabled=False):
                error = _error(model, width, first)
        except Exception as fault:  # whatever a model raises that does not know the arguments
            log.info("The ring does not suit %s: %s", type(model).__name__, first_line(fault))
            return None
        if error < EXACT:
            return first
    log.info("The ring does not suit %s: its logits differ.", type(model).__name__)
    return None


def _error(model: PreTrainedModel, width: int, first: int) -> float:
    """Largest difference of the ring's logits from those of whole texts, in units of what wrong positions do."""
    if not all(_keeps_all(layer, width) for layer in DynamicCache(config=model.config).layers):
        raise ValueError("its cache does not keep the keys and values of all positions")
    texts = _texts(model, width)
    whole = model(input_ids=texts).logits.to(finest(model.device))
    places = torch.arange(first, first + width, device=model.device).expand(2, -1)
    wrong = model(input_ids=texts, position_ids=places.flip(1)).logits.to(finest(model.device))
    error = (_through_ring(model, texts, first) - whole).abs().max() / (wrong - whole).abs().max()
    return float(error)  # not a number where positions mean nothing, and then not small


def _texts(model: PreTrainedModel, width: int) -> Tensor:
    """Two texts without the padding token, which may have a position of its own: [2, width]."""
    vocabulary = model.config.get_text_config().vocab_size
    tokens = torch.arange(2 * width, device=model.device).reshape(2, width) * 7 % (vocabulary - 1)
    return tokens if model.config.pad_token_id is None else tokens + (tokens >= model.config.pad_token_id)


def _keeps_all(layer: object, width: int) -> bool:
    if type(layer) is DynamicSlidingWindowLayer:
        return layer.sliding_window >= width
    return type(layer) is DynamicLayer


def _through_ring(model: PreTrainedModel, texts: Tensor, first: int) -> Tensor:
    """Logits of two texts, the second begun late, in a row that held something else: [2, W] -> [2, W, V]."""
    width = texts.shape[1]
    ring = Ring(model, 2, width, first)
    ring.step, late = ODD, width // 2
    logits = []
    for step in range(width + late):
        if step == late:
            ring.renew(torch.tensor([1], device=texts.device))
        if step == width:
            ring.renew(torch.tensor([0], device=texts.device))
        logits.append(ring.read(texts[[0, 1], [step % width, (step - late) % width]]))
    read = torch.stack(logits, 1).to(finest(texts.device))  # [2, width + late, V]
    return torch.stack([read[0, :width], read[1, late:]])
