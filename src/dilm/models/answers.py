"""How a language model reads a row of a generation task: a question it is given, and an answer it is asked for.

A causal model reads both in one line; an encoder-decoder reads the question in its encoder. Either way `wanted` says
which token each logit should have been, and the logits of all other positions are never computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dilm.models.decoders import start_and_end
from dilm.models.encodings import REMEMBERED, longest_input
from dilm.types import Example, Task

Row = tuple[list[int], list[int]]
"""Tokens of a question, a start token in front, and of its answer, with its end token."""
NOTHING = -100
"""Where no token is wanted."""
SHARE = 2
"""A question that is too long keeps its last tokens: at least one part in so many of all that a model can hold."""


@dataclass(frozen=True)
class Batch:
    """What a model is given, and what it should say: input names to [n, T]; wanted tokens [n, T]."""

    inputs: dict[str, Tensor]
    wanted: Tensor

    @property
    def asked(self) -> Tensor:
        """Positions at which a token is wanted: bool [n, T]."""
        return self.wanted != NOTHING


class Answers:
    """One model's way of reading rows of one task."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, task: Task, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.task = task
        self.limit = min(max_tokens, tokenizer.model_max_length, longest_input(model))
        self.start, self.end = start_and_end(tokenizer)
        first = getattr(model.config, "decoder_start_token_id", None)
        self.first: int = self.start if first is None else first
        self.line: Callable[[Sequence[Row]], tuple[dict[str, list[list[int]]], list[list[int]]]] = (
            self._apart if model.config.is_encoder_decoder else self._in_one_line
        )
        self._known: dict[tuple[str, ...], Row] = {}

    def rows(self, examples: Sequence[Example]) -> list[Row]:
        """Question and answer of each example in tokens, remembered by its texts."""
        missing = list({example.texts: None for example in examples if example.texts not in self._known})
        if missing:
            if len(self._known) > REMEMBERED:
                self._known.clear()
            questions = self._tokens([self.task.question(texts) for texts in missing])
            answers = self._tokens([f" {texts[-1]}" for texts in missing])
            self._known.update(
                (texts, self._fitted([self.start, *question], [*answer, self.end]))
                for texts, question, answer in zip(missing, questions, answers, strict=True)
            )
        return [self._known[example.texts] for example in examples]

    def unasked(self, examples: Sequence[Example]) -> list[Row]:
        """The answers as if nothing had been asked."""
        return [([self.start], answer) for _, answer in self.rows(examples)]

    def batch(self, rows: Sequence[Row], device: torch.device) -> Batch:
        """Rows side by side, padded on the right, where a causal model's real tokens do not see it."""
        named, wanted = self.line(rows)
        inputs: dict[str, Tensor] = {}
        for name, lines in named.items():
            inputs[name] = _padded(lines, self.end, device)
            mask = _padded([[1] * len(line) for line in lines], 0, device)
            inputs["attention_mask" if name == "input_ids" else name.replace("input_ids", "attention_mask")] = mask
        return Batch(inputs, _padded(wanted, NOTHING, device))

    def asked(self, rows: Sequence[Row], device: torch.device) -> dict[str, Tensor]:
        """The questions alone, ready to be answered: padded on the left, so that all end where answers begin."""
        named, _ = self.line([(question, [self.end]) for question, _ in rows])
        lines = named["input_ids"]
        width = max(map(len, lines))
        tokens = [[self.end] * (width - len(line)) + line for line in lines]
        mask = [[0] * (width - len(line)) + [1] * len(line) for line in lines]
        return {
            "input_ids": torch.tensor(tokens, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }

    def decoded(self, tokens: Sequence[int]) -> str:
        """An answer that was written, up to its end, as one line."""
        kept = list(tokens)
        kept = kept[: kept.index(self.end)] if self.end in kept else kept
        text: Any = self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return " ".join(text.split())

    def _in_one_line(self, rows: Sequence[Row]) -> tuple[dict[str, list[list[int]]], list[list[int]]]:
        lines = [[*question, *answer[:-1]] for question, answer in rows]
        return {"input_ids": lines}, [[NOTHING] * (len(question) - 1) + answer for question, answer in rows]

    def _apart(self, rows: Sequence[Row]) -> tuple[dict[str, list[list[int]]], list[list[int]]]:
        questions = [[*question[1:], self.end] for question, _ in rows]
        begun = [[self.first, *answer[:-1]] for _, answer in rows]
        return {"input_ids": questions, "decoder_input_ids": begun}, [answer for _, answer in rows]

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]  # type: ignore[return-value]

    def _fitted(self, question: list[int], answer: list[int]) -> Row:
        """Within what the model can hold: an answer that is too long loses its end, a question its beginning."""
        answer = answer[: max(self.limit - min(len(question), self.limit // SHARE), 1)]
        room = max(self.limit - len(answer), 1)
        return ([question[0], *question[len(question) - room + 1 :]] if len(question) > room else question), answer


def _padded(lines: Sequence[Sequence[int]], filler: int, device: torch.device) -> Tensor:
    """[n, longest]."""
    width = max(map(len, lines))
    return torch.tensor([[*line, *[filler] * (width - len(line))] for line in lines], device=device)
