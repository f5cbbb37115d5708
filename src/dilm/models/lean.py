"""Training a few rows of a large embedding table: the same weights afterwards, without the work on all the others.

A small set has hundreds of different tokens, a table tens of thousands. The others get no gradient, so an optimiser
with moments leaves them where they are but for weight decay; yet it reads and writes every one at every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

WORTH_IT = 0.5
"""Below this share of rows in use the table is cut down."""


@contextmanager
def only_rows(table: nn.Embedding, used: Tensor, kept: float) -> Iterator[None]:
    """Within, the table's parameter is that of the `used` rows alone: row numbers [k], all that will be looked up.

    Afterwards the table is whole again: the used rows as they were trained, the others times `kept`, which is what
    weight decay leaves of a weight without gradient.
    """
    whole, padding = table.weight, table.padding_idx
    if padding is not None:
        used = torch.cat([used, torch.tensor([padding], device=used.device)])
    used = used.unique().to(whole.device)
    place = torch.zeros(len(whole), dtype=torch.long, device=whole.device)
    place[used] = torch.arange(len(used), device=whole.device)
    table.weight = nn.Parameter(whole.detach()[used].clone(), requires_grad=whole.requires_grad)
    table.padding_idx = None if padding is None else int(place[padding])
    hook = table.register_forward_pre_hook(lambda _, inputs: (place[inputs[0]], *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()
        with torch.no_grad():
            whole.mul_(kept)
            whole[used] = table.weight
        table.weight, table.padding_idx = whole, padding


def can_be_cut(model: nn.Module, table: nn.Module, used: Tensor) -> bool:
    """Whether a plain table is large enough to gain, and no other module shares its weight."""
    if type(table) is not nn.Embedding or len(used) > WORTH_IT * table.num_embeddings:
        return False
    sharing = [module for module in model.modules() if getattr(module, "weight", None) is table.weight]
    return len(sharing) == 1
