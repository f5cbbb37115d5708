"""From examples to padded token tensors: what a classifier and an encoder have in common."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dilm.errors import ModelError
from dilm.models.pieces import pieces
from dilm.runtime import meter
from dilm.types import Example

REMEMBERED = 20_000
"""Texts whose token numbers are kept; matching reads the same rows hundreds of times."""

Row = dict[str, list[int]]
"""One tokenised example: `input_ids`, and `token_type_ids` where the model knows segments."""


Batch = dict[str, Tensor]
"""The keyword arguments of a model's forward pass."""

PROBES = (Example(("a",), 0), Example(("a somewhat longer text",), 0))
"""Rows of unequal length, for finding out how a model treats padding and where it pools."""


class Encodings:
    """One model's way of reading examples: segments for a pair, truncation to what it can hold, padding on its side."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.limit = min(max_tokens, tokenizer.model_max_length, longest_input(model))
        self.padding = {"input_ids": padding_token(tokenizer), "token_type_ids": tokenizer.pad_token_type_id}
        accepted = inspect.signature(model.forward).parameters
        self.names = [name for name in self.padding if name in accepted]
        self.side = tokenizer.padding_side
        self._known: dict[tuple[str, ...], Row] = {}

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """Token numbers of each example, remembered by its texts."""
        wanted = dict.fromkeys(example.texts for example in examples)
        found = {texts: self._known[texts] for texts in wanted if texts in self._known}
        new = [texts for texts in wanted if texts not in found]
        if new:
            made = dict(zip(new, self._tokenise(new), strict=True))
            self._remember(made)
            found.update(made)
        return [found[example.texts] for example in examples]

    def batch(self, rows: Sequence[Row], device: torch.device) -> Batch:
        """Rows side by side, padded to the longest: input names to [n, T], with `attention_mask`."""
        lengths = [len(row["input_ids"]) for row in rows]
        width = max(lengths)
        meter.count(sum(lengths))
        batch = {name: [self._pad(row[name], width, self.padding[name]) for row in rows] for name in rows[0]}
        batch["attention_mask"] = [self._pad([1] * len(row["input_ids"]), width, 0) for row in rows]
        return {name: torch.tensor(values, device=device) for name, values in batch.items()}

    def batches(
        self, examples: Sequence[Example], tokens: int, device: torch.device, spread: int = 1
    ) -> Iterator[tuple[list[int], Batch]]:
        """(positions, batch) over all examples, longest first, as `pieces` has it."""
        rows = self.rows(examples)
        lengths = [len(row["input_ids"]) for row in rows]
        for positions in pieces(lengths, tokens, spread):
            yield positions, self.batch([rows[position] for position in positions], device)

    @torch.no_grad()
    def settle_side(self, read: Callable[[Batch], Tensor], device: torch.device) -> None:
        """Pad on the other side if only there a row reads the same alone and beside a longer one.

        Absolute positions need padding on the right (GPT-2), pooling of the last token needs it on the left (XLNet),
        and tokenizers saved with a model do not always say so. `read` maps a batch to one row of numbers each.
        """
        other = {"left": "right", "right": "left"}[self.side]
        if self._shift(read, device, other) < self._shift(read, device, self.side) / 10:
            self.side = other

    def _shift(self, read: Callable[[Batch], Tensor], device: torch.device, side: str) -> float:
        """How much a longer neighbour changes what `read` says of a row."""
        rows = self.rows(PROBES)
        self.side, before = side, self.side
        beside, alone = read(self.batch(rows, device))[0], read(self.batch(rows[:1], device))[0]
        self.side = before
        return float((beside - alone).abs().max())

    def _pad(self, values: list[int], width: int, filler: int) -> list[int]:
        gap = [filler] * (width - len(values))
        return gap + values if self.side == "left" else values + gap

    def _tokenise(self, texts: list[tuple[str, ...]]) -> list[Row]:
        encoded = self.tokenizer(*self._arguments(texts), truncation=True, max_length=self.limit)  # type: ignore[arg-type]
        names = [name for name in self.names if name in encoded]
        rows = [{name: encoded[name][position] for name in names} for position in range(len(texts))]
        # A tokenizer without start and end tokens makes nothing of an empty text, and no model reads nothing.
        blank = {name: [self.padding[name]] for name in names}
        return [row if row["input_ids"] else blank for row in rows]

    def _arguments(self, texts: list[tuple[str, ...]]) -> list[list[str]]:
        """Two fields as the model's own pair, if it marks where one ends; otherwise one text, fields marked apart."""
        frame = self.tokenizer.num_special_tokens_to_add
        if len(texts[0]) == 2 and frame(pair=True) > frame(pair=False):
            return [list(field) for field in zip(*texts, strict=True)]
        mark = f" {self.tokenizer.sep_token} " if self.tokenizer.sep_token else "\n"
        return [[mark.join(fields) for fields in texts]]

    def _remember(self, rows: dict[tuple[str, ...], Row]) -> None:
        self._known.update(rows)
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]  # the oldest


def padding_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The padding token; where there is none the end or separator token takes its place, on the tokenizer too."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.sep_token
    if tokenizer.pad_token_id is None:
        raise ModelError(
            "The tokenizer has no padding, end or separator token.",
            "Set its `pad_token` and save the model folder anew.",
        )
    return tokenizer.pad_token_id  # type: ignore[return-value]


def longest_input(model: PreTrainedModel) -> int:
    """Most tokens that the model has positions for; very many where positions are relative.

    A position table with a padding row (RoBERTa) is counted from after that row.
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not positions or positions < 0:  # XLNet says -1
        return 2**31
    for name, table in model.named_modules():
        if isinstance(table, nn.Embedding) and "position" in name and table.padding_idx is not None:
            return table.num_embeddings - table.padding_idx - 1
    return positions
