"""What distillation into embeddings gives: rows that train one learner and no other, and the file that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dilm.distillation.attention import Looking
from dilm.distillation.unrolling import EmbeddingLearner, Lesson, Unrolling, train
from dilm.errors import DataError, ModelError
from dilm.runtime.seeding import derive

VALUES = ("embeddings", "fields", "labels", "rates")
"""Tensors that every set has; attention labels are only in some."""


@dataclass(frozen=True, eq=False)
class DistilledEmbeddings:
    """n rows, class by class, equally many of each, with the training that they were learnt for."""

    embeddings: Tensor
    """[n, T, d], in place of the embeddings of tokens."""
    beside: Mapping[str, Tensor]
    """What the learner is told beside them, each [n, T]: `attention_mask`, and `token_type_ids` for segments."""
    fields: Tensor
    """[n, T]: the text field that each position started in, for a projection back to texts."""
    labels: Tensor
    """[n, C]: a distribution over the classes for each row."""
    rates: Tensor
    """[steps]: the learning rate of each step, positive."""
    unrolling: Unrolling
    identity: str
    """Content key of the learner that they were learnt for."""
    attention: Tensor | None = None
    """[n, layers, heads, q, T]: where the learner should look, of one position (q = 1) or of all (q = T)."""

    def __post_init__(self) -> None:
        rows, width = self.embeddings.shape[:2]
        beside = [values.shape == (rows, width) for values in (*self.beside.values(), self.fields)]
        if len(self.labels) != rows or rows % self.labels.shape[1] or not rows or not all(beside):
            raise DataError("The embeddings, masks and labels do not fit together.", "Learn or load them anew.")
        if (self.attention is None) != (self.unrolling.attention == "none"):
            raise DataError("There are attention labels without use, or none where they are used.", "Learn them anew.")
        if len(self.rates) != self.unrolling.steps:
            raise DataError(
                f"There are {len(self.rates)} learning rates for {self.unrolling.steps} steps.", "Give one for each."
            )
        if self.unrolling.steps * self.unrolling.per_step < self.per_class:
            raise DataError(
                f"{self.unrolling.steps} steps with {self.unrolling.per_step} rows of each class do not reach all "
                f"{self.per_class} of them.",
                "Ask for more steps, more rows in a step, or fewer rows per class.",
            )

    @property
    def per_class(self) -> int:
        return len(self.labels) // self.labels.shape[1]

    @property
    def classes(self) -> list[int]:
        """The class that each row started from."""
        return [row // self.per_class for row in range(len(self.labels))]

    def train(self, learner: EmbeddingLearner, seed: int) -> None:
        """Reset the learner and train it on the rows; the same seed gives the same head. Leaves it in eval mode.

        Raises ModelError for any learner but the one that the rows were learnt for.
        """
        self.require(learner)
        learner.reset(derive(seed, "head"))
        train(learner, self.lessons(next(learner.model.parameters()).device), self.unrolling.trains)

    def lessons(self, device: torch.device) -> Iterator[Lesson]:
        """The steps of training in order."""
        for step, rate in enumerate(self.rates.to(device)):
            rows = self.unrolling.rows(step, self.per_class, self.labels.shape[1])
            inputs = {"inputs_embeds": self.embeddings, **self.beside}
            picked = {name: values[rows].to(device) for name, values in inputs.items()}
            yield Lesson(picked, self.labels[rows].to(device), rate, self._looking(rows, device))

    def _looking(self, rows: list[int], device: torch.device) -> Looking | None:
        if self.attention is None:
            return None
        return Looking(self.attention[rows].to(device), self.unrolling.attention_weight)

    def require(self, learner: EmbeddingLearner) -> None:
        """Raise ModelError unless the rows were learnt for this learner."""
        if learner.identity != self.identity or len(learner.task.labels) != self.labels.shape[1]:
            raise ModelError(
                f"These embeddings were learnt for learner {self.identity[:8]} with {self.labels.shape[1]} classes; "
                f"this one is {learner.identity[:8]} with {len(learner.task.labels)}.",
                "Use the learner that they were learnt for, learn them anew for this one, or distil into text, "
                "which any model reads.",
            )

    def copied(self) -> DistilledEmbeddings:
        """On the CPU, without a graph, sharing memory with nothing."""
        values = {name: _copy(getattr(self, name)) for name in VALUES}
        beside = {name: _copy(tensor) for name, tensor in self.beside.items()}
        attention = None if self.attention is None else _copy(self.attention)
        return replace(self, beside=beside, attention=attention, **values)

    def save(self, path: Path) -> None:
        """One safetensors file, with the training and the learner's identity in its header."""
        copy = self.copied()
        tensors = {name: getattr(copy, name) for name in VALUES}
        tensors |= {} if copy.attention is None else {"attention": copy.attention}
        tensors |= {f"beside.{name}": tensor for name, tensor in copy.beside.items()}
        save_file(tensors, path, {"identity": self.identity, "unrolling": json.dumps(asdict(self.unrolling))})

    @classmethod
    def load(cls, path: Path) -> DistilledEmbeddings:
        """What `save` wrote, bit for bit. Raises DataError for any other file."""
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return cls(
                **{name: tensors[name] for name in VALUES},
                beside={name[7:]: values for name, values in tensors.items() if name.startswith("beside.")},
                unrolling=Unrolling(**json.loads(about["unrolling"])),
                identity=about["identity"],
                attention=tensors.get("attention"),
            )
        except (OSError, SafetensorError, KeyError) as fault:
            raise DataError(
                f"{str(path)!r} does not hold distilled embeddings.", "Give a file that `save` wrote."
            ) from fault


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()
