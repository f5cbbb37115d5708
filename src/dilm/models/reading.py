"""How a generator reads texts whose likelihoods are asked for: without needless work, and to the same end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.models.decoders import inner
from dilm.models.padding_free import PaddingFree
from dilm.models.tables import summing_in_place


class Reading:
    """Of one model: its tables take no second gradient, and its layers no padding where they can do without."""

    def __init__(self, model: nn.Module | None = None) -> None:
        """Without a model: as any does by itself."""
        self.model = None if model is None else inner(model)
        self.padding_free = PaddingFree(model) if isinstance(model, PreTrainedModel) else None  # others add prompts

    @property
    def spread(self) -> int:
        """How many times as many tokens may run together with their padding as without it."""
        return self.padding_free.spread if self.padding_free else 1

    @contextmanager
    def __call__(self, mask: Tensor) -> Iterator[None]:
        """Within, the model is given one batch, with this attention mask [n, T]."""
        with ExitStack() as ways:
            if self.model:
                ways.enter_context(summing_in_place(self.model))
            if self.padding_free:
                ways.enter_context(self.padding_free(mask))
            yield
