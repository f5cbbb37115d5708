"""Which weights of a learner are matched: its head, the last blocks and what follows, all, or adapters (LoRA).

Two questions are asked of a part: the gradient of a weighted batch, and how much each example adds to it along one
direction. The first is an ordinary backward pass; the second needs none (forward mode), so no graph of a gradient is
ever kept. Both run in micro-batches that sum exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from dilm.errors import ModelError
from dilm.models.attending import plain_attention
from dilm.models.encodings import PROBES
from dilm.models.learners import AnyLearner
from dilm.numerics.gradients import linear_in, weighted_gradient
from dilm.runtime.seeding import torch_stream
from dilm.types import Example

RANK = 8
"""Of the adapters where none is named."""


@dataclass(frozen=True)
class Part:
    """Weights of a learner by name; of those in `down` the last axis is seen through a projection [r, axis].

    Of a linear layer that axis is its inputs, and the projected gradient is that of an adapter's up-projection, which
    starts at zero, behind this down-projection (Hu et al., LoRA, 2022).
    """

    names: tuple[str, ...]
    down: Mapping[str, Tensor] = field(default_factory=dict)

    def gradient(self, learner: AnyLearner, examples: Sequence[Example], weights: Tensor) -> Tensor:
        """Of the weighted loss, in eval mode: n examples, [n] -> [P], differentiable in the weights.

        Its derivative is a forward-mode pass along the direction that comes back.
        """
        return linear_in(
            weights,
            lambda at: self._summed(learner, examples, at),
            lambda direction: self._slopes(learner, examples, direction),
        )

    def mean(self, learner: AnyLearner, examples: Sequence[Example]) -> Tensor:
        """Mean gradient of the examples, without a graph: -> [P]."""
        weights = torch.full((len(examples),), 1 / len(examples), device=learner.place.device)
        return self._summed(learner, examples, weights)

    def plainly(self, learner: AnyLearner, examples: Sequence[Example], weights: Tensor) -> Tensor:
        """As `gradient`, by a backward pass that keeps its own graph: the road of the published code, as a check."""
        learner.eval()
        with plain_attention(learner.model):
            losses = learner.loss(examples)
        wanted = self._parameters(learner)
        flat = weighted_gradient(losses, weights, list(wanted.values()))
        sizes = [parameter.numel() for parameter in wanted.values()]
        pieces = [piece.view_as(parameter) for piece, parameter in zip(flat.split(sizes), wanted.values(), strict=True)]
        return self._flat(pieces)

    def _summed(self, learner: AnyLearner, examples: Sequence[Example], weights: Tensor) -> Tensor:
        """[P], without a graph."""
        total = torch.zeros((), device=weights.device)
        fixed = {name: parameter.detach() for name, parameter in learner.model.named_parameters()}
        for positions, losses in learner.losses(examples):
            at = {name: parameter.detach().requires_grad_() for name, parameter in self._parameters(learner).items()}
            with torch.enable_grad():
                loss = losses(fixed | at)
                pieces = torch.autograd.grad(loss @ weights[positions].to(loss), list(at.values()))
            total = total + self._flat(pieces)
        return total

    def _slopes(self, learner: AnyLearner, examples: Sequence[Example], direction: Tensor) -> Tensor:
        """<direction, gradient of each example>: n examples, [P] -> [n]."""
        found = direction.new_empty(len(examples))
        fixed = {name: parameter.detach() for name, parameter in learner.model.named_parameters()}
        at = {name: fixed[name] for name in self.names}
        tangents = self._lifted(learner, direction)
        for positions, losses in learner.losses(examples):
            told = torch.func.jvp(lambda part, run=losses: run(fixed | part), (at,), (tangents,))
            found[positions] = told[1].to(found.dtype)
        return found

    def _parameters(self, learner: AnyLearner) -> dict[str, nn.Parameter]:
        every = dict(learner.model.named_parameters())
        return {name: every[name] for name in self.names}

    def _flat(self, pieces: Sequence[Tensor]) -> Tensor:
        """One gradient for each weight, projected where this part says so: -> [P]."""
        seen = [
            piece @ self.down[name].to(piece).T if name in self.down else piece
            for name, piece in zip(self.names, pieces, strict=True)
        ]
        return torch.cat([piece.flatten() for piece in seen])

    def _lifted(self, learner: AnyLearner, direction: Tensor) -> dict[str, Tensor]:
        """The transpose of `_flat`: [P] -> a direction for each weight."""
        shapes = {name: parameter.shape for name, parameter in self._parameters(learner).items()}
        seen = {n: (*s[:-1], len(self.down[n])) if n in self.down else tuple(s) for n, s in shapes.items()}
        pieces = direction.split([torch.Size(shape).numel() for shape in seen.values()])
        lifted = {name: piece.view(seen[name]) for name, piece in zip(self.names, pieces, strict=True)}
        return {n: piece @ self.down[n].to(piece) if n in self.down else piece for n, piece in lifted.items()}


def find_part(learner: AnyLearner, wanted: str) -> Part:
    """By name: `head`, `last:N` (N blocks and what follows them), `all`, `lora:R` (adapters in all blocks, and what
    follows these).

    Raises ModelError where the blocks of a model cannot be told, or are fewer.
    """
    kind, _, number = wanted.partition(":")
    names = {id(parameter): name for name, parameter in learner.model.named_parameters()}
    if kind == "head":
        return Part(tuple(names[id(parameter)] for parameter in learner.head_parameters()))
    if kind == "all":
        return Part(_reached(learner))
    blocks = _blocks(learner)
    if kind == "last":
        return Part(_without_vocabulary(learner, _behind(learner, blocks, int(number))))
    down = dict(_projections(blocks, names, int(number or RANK)))
    return Part((*down, *_without_vocabulary(learner, _behind(learner, blocks, 0))), down)


def _blocks(learner: AnyLearner) -> nn.ModuleList:
    """The model's layers, one after the other."""
    config = learner.model.config
    count = getattr(config, "num_hidden_layers", None)
    whole: Any = learner.model
    if learner.task.writes and config.is_encoder_decoder:  # what follows an encoder's last layers is the whole decoder
        whole, count = whole.get_decoder(), getattr(config, "num_decoder_layers", None) or config.decoder_layers
    for module in whole.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ModelError(
        f"{learner.name} does not show which of its parts are its layers.",
        "Match the gradient of its `head` or of `all` weights, or use another learner.",
    )


def _behind(learner: AnyLearner, blocks: nn.ModuleList, last: int) -> tuple[str, ...]:
    """Names of the weights that still have a gradient when nothing flows back before the `last` blocks."""
    if last > len(blocks):
        raise ModelError(
            f"{learner.name} has {len(blocks)} layers, fewer than the {last} whose gradient is asked for.",
            "Ask for fewer in `match.gradient`, or for `all`.",
        )
    with _cut(blocks, last):
        return _reached(learner)


def _without_vocabulary(learner: AnyLearner, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names but for the weights that a language model's tokens are read and written with: they are most of a small
    model, and `head` sees them by a projection."""
    if not learner.task.writes:
        return names
    layers = (learner.model.get_input_embeddings(), learner.model.get_output_embeddings())
    left_out = {id(layer.weight) for layer in layers if layer is not None}
    named = dict(learner.model.named_parameters())
    return tuple(name for name in names if id(named[name]) not in left_out)


def _reached(learner: AnyLearner) -> tuple[str, ...]:
    """Names of the weights that have a gradient: some models carry others, for other tasks."""
    named = dict(learner.model.named_parameters())
    learner.eval()
    with torch.enable_grad():
        found = torch.autograd.grad(learner.loss(PROBES).sum(), list(named.values()), allow_unused=True)
    return tuple(name for name, gradient in zip(named, found, strict=True) if gradient is not None)


@contextmanager
def _cut(blocks: nn.ModuleList, last: int) -> Iterator[None]:
    """Within, no gradient flows back into what comes before the `last` blocks."""
    if last:
        handle = blocks[-last].register_forward_pre_hook(
            lambda _, args, kwargs: (_detached(args), {name: _detached(value) for name, value in kwargs.items()}),
            with_kwargs=True,
        )
    else:
        handle = blocks[-1].register_forward_hook(lambda _, args, output: _detached(output))
    try:
        yield
    finally:
        handle.remove()


def _detached(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_detached(each) for each in value)
    return value.detach() if isinstance(value, Tensor) else value


def _projections(blocks: nn.ModuleList, names: Mapping[int, str], rank: int) -> Iterator[tuple[str, Tensor]]:
    """For each linear layer in the blocks: its weight's name and a random [rank, inputs], the same in every run."""
    for module in blocks.modules():
        if isinstance(module, nn.Linear | Conv1D):
            name, inputs = names[id(module.weight)], module.weight.shape[-1]
            rng = torch_stream(0, "down-projection", name)
            yield name, (torch.randn(rank, inputs, generator=rng) / inputs**0.5).to(module.weight.device)
