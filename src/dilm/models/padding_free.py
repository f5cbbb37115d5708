"""Reading texts of unlike length without the work on their padding: layers see the tokens of a batch as one long text.

Only attention needs to know which token is whose; there rows stand apart again, padded. What a layer makes of a token
else does not depend on the others. On a processor, where time goes into products, a batch takes as long as its tokens;
elsewhere it takes as long as its kernels, of which this needs more, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.models.layout import Layout, set_layout
from dilm.models.quick import QUICK
from dilm.models.weights import evaluating

WORTH_IT = 0.9
"""Share of tokens that are no padding up to which it is left out."""
SPREAD = 4
"""Embeddings, and what comes after the layers, still have padding."""
TOLERANCE = 1e-3
"""How far, of the largest number, a model may be off by other rounding."""


class PaddingFree:
    """One model's way of being read so, if it has one: its layers know of neighbours by attention alone."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        found = _layers(model)
        self.layers = found if found is not None and self._reads_alike(found) else None

    @property
    def spread(self) -> int:
        """How many times as many tokens may run together with their padding as without it."""
        return 1 if self._ways is None else SPREAD

    @property
    def _ways(self) -> nn.ModuleList | None:
        """The layers, while the model is on a processor and looks as `by_rows` does."""
        here = self.model.device.type == "cpu" and self.model.config._attn_implementation == QUICK
        return self.layers if here else None

    @contextmanager
    def __call__(self, mask: Tensor) -> Iterator[None]:
        """Within, the model is given one batch, with this attention mask [n, T]; what it says of padding is nothing."""
        if self._ways is None or mask.float().mean() > WORTH_IT:
            yield
        else:
            with _reading(self._ways, Layout(mask)):
                yield

    @torch.no_grad()
    def _reads_alike(self, layers: nn.ModuleList) -> bool:
        """Whether a batch is read as without this: tried, since models differ in what else they tell their layers."""
        mask = (torch.arange(9) < torch.tensor([[4], [9], [6]])).long()
        if self.model.device.type != "cpu":
            return False
        table: Tensor = self.model.get_input_embeddings().weight  # type: ignore[assignment]
        tokens = torch.arange(mask.numel()).view_as(mask) % len(table)
        with evaluating(self.model), torch.autocast("cpu", enabled=False):
            plain = self.model.base_model(input_ids=tokens, attention_mask=mask)[0]
            try:
                with _reading(layers, Layout(mask)):
                    found = self.model.base_model(input_ids=tokens, attention_mask=mask)[0]
            except (RuntimeError, ValueError, IndexError, TypeError):  # shapes that do not fit
                return False
        real = mask.bool()
        far = (found[real] - plain[real]).abs().max() if found.shape == plain.shape else torch.inf
        return bool(far <= TOLERANCE * plain[real].abs().max())


def _layers(model: PreTrainedModel) -> nn.ModuleList | None:
    """Those that a text goes through one after the other; None where they are not to be told from other lists."""
    depth = getattr(model.config, "num_hidden_layers", 0)
    found = [part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == depth]
    return found[0] if len(found) == 1 and depth and not model.config.is_encoder_decoder else None


@contextmanager
def _reading(layers: nn.ModuleList, layout: Layout) -> Iterator[None]:
    def enter(_: nn.Module, states: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        set_layout(layout)
        return (layout.flat(states[0]), *states[1:]), named

    def turn(_: nn.Module, states: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        turned = named.get("position_embeddings")
        return states, named if turned is None else {**named, "position_embeddings": tuple(map(layout.flat, turned))}

    def leave(_: nn.Module, states: Any, said: Any) -> Any:
        set_layout(None)
        return (layout.padded(said[0]), *said[1:]) if isinstance(said, tuple) else layout.padded(said)

    hooks = [layer.register_forward_pre_hook(turn, with_kwargs=True) for layer in layers]
    hooks += [layers[0].register_forward_pre_hook(enter, with_kwargs=True), layers[-1].register_forward_hook(leave)]
    try:
        yield
    finally:
        set_layout(None)
        for hook in hooks:
            hook.remove()
