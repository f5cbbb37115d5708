"""Sampling token by token with a key/value cache: a row whose text ends takes another text or leaves the batch."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dilm.errors import ModelError
from dilm.models.form import Form, Progress
from dilm.models.roads import Growing, Ring, Road, positions_begin
from dilm.runtime.device import finest

log = logging.getLogger(__name__)

BLOCK = 256
"""Tokens summed together before one is drawn: a running sum over the whole vocabulary is several times slower."""


@dataclass(frozen=True)
class Sampling:
    """How texts are drawn (paper 1.6: top-p 0.95)."""

    top_p: float = 0.95
    top_k: int = 0
    """0 keeps every token."""
    temperature: float = 1.0
    max_tokens: int = 64
    batch: int = 256
    road: str = ""
    """`growing` or `ring`; empty: the ring where texts wait for a row.

    Refilling is what it gains by: on a CPU 1.4 to 1.6 times the speed with 64 rows, nothing with 512. Where no text
    waits it is up to a fifth slower (docs/decisions/0004).
    """


class Fronted(Protocol):
    """A model behind another front: it has a road of its own."""

    @property
    def device(self) -> torch.device: ...

    def road(self) -> Road:
        """For rows that begin together."""
        ...


class TextWriter(Protocol):
    """Who writes: `sample_tokens` here, or another program with the model's weights."""

    def __call__(
        self,
        model: PreTrainedModel | Fronted,
        form: Form,
        n: int,
        sampling: Sampling,
        rng: torch.Generator,
        banned: Tensor,
        /,
    ) -> list[list[int]]: ...


@torch.no_grad()
def sample_tokens(
    model: PreTrainedModel | Fronted, form: Form, n: int, sampling: Sampling, rng: torch.Generator, banned: Tensor
) -> list[list[int]]:
    """`n` token sequences of one `form`: each without its start token, with its end token where it has one.

    `banned` [b] are token numbers that are never written. The draws depend on `rng`, `sampling` and the road only.
    """
    local = torch.Generator(model.device).manual_seed(int(torch.randint(2**31, (1,), generator=rng)))
    writer = Writer(form, sampling, local, banned)
    first = _first_position(model, n, sampling) if isinstance(model, PreTrainedModel) else None
    if isinstance(model, PreTrainedModel) and first is not None:
        rows = min(n, sampling.batch)
        return writer.write(Ring(model, rows, sampling.max_tokens + 1, first), rows, n)
    texts: list[list[int]] = []
    for begun in range(0, n, sampling.batch):
        rows = min(sampling.batch, n - begun)
        road = Growing(model) if isinstance(model, PreTrainedModel) else model.road()
        texts += writer.write(road, rows, rows)
    return texts


def _first_position(model: PreTrainedModel, n: int, sampling: Sampling) -> int | None:
    """Where the ring's positions begin; None: the growing road."""
    wanted = sampling.road or ("ring" if n > sampling.batch else "growing")
    first = positions_begin(model, sampling.max_tokens + 1) if wanted == "ring" else None
    log.info("%d texts, %d at once, by the %s road", n, sampling.batch, "growing" if first is None else "ring")
    return first


@dataclass(frozen=True)
class Writer:
    """Writes texts of one form on any road."""

    form: Form
    sampling: Sampling
    rng: torch.Generator
    banned: Tensor

    def write(self, road: Road, rows: int, n: int) -> list[list[int]]:
        """`n` texts on `rows` rows: a row whose text ends takes the next text that waits, or else leaves."""
        start = torch.full((rows,), self.form.start, device=self.rng.device)
        batch = Batch(road, Progress(self.form, rows, self.rng.device), list(range(rows)), start)
        waiting = deque(range(rows, n))
        texts: list[list[int]] = [[] for _ in range(n)]
        while batch.owners:
            self._go_on(batch)
            for owner, token in zip(batch.owners, batch.tokens.tolist(), strict=True):
                texts[owner].append(token)
            over = [row for row, owner in enumerate(batch.owners) if self._is_over(texts[owner])]
            renewed, leaving = over[: len(waiting)], set(over[len(waiting) :])
            if renewed:
                batch.renew(renewed, [waiting.popleft() for _ in renewed], self.form.start)
            if leaving:
                batch.keep([row for row in range(len(batch.owners)) if row not in leaving])
        return texts

    def _go_on(self, batch: Batch) -> None:
        logits = batch.road.read(batch.tokens)
        logits[:, self.banned] = -torch.inf
        batch.progress.forbid(logits)
        batch.tokens = draw(logits, self.sampling, self.rng)
        batch.progress.note(batch.tokens)

    def _is_over(self, text: list[int]) -> bool:
        return text[-1] == self.form.end or len(text) > self.sampling.max_tokens  # one more for the end token


@dataclass
class Batch:
    """What is being written side by side."""

    road: Road
    progress: Progress
    owners: list[int]
    """The text that each row writes."""
    tokens: Tensor
    """What each row reads next: [rows]."""

    def renew(self, rows: list[int], owners: list[int], start: int) -> None:
        """These rows begin these texts."""
        for row, owner in zip(rows, owners, strict=True):
            self.owners[row] = owner
        where = torch.tensor(rows, device=self.tokens.device)
        self.tokens[where] = start
        self.road.renew(where)
        self.progress.renew(where)

    def keep(self, rows: list[int]) -> None:
        """Only these rows go on."""
        self.owners = [self.owners[row] for row in rows]
        where = torch.tensor(rows, dtype=torch.long, device=self.tokens.device)
        self.tokens = self.tokens[where]
        self.road.keep(where)
        self.progress.keep(where)


def draw(logits: Tensor, sampling: Sampling, rng: torch.Generator) -> Tensor:
    """One token for each row by temperature, top-k and exact top-p: [n, V] -> [n].

    No sorting: a token is drawn from the whole distribution, and drawn again where the tokens likelier than it hold
    `top_p` of the mass or more. That is the nucleus, renormalised. Raises ModelError where odds are not numbers.
    """
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    if 0 < sampling.top_k < logits.shape[1]:
        least = probabilities.topk(sampling.top_k, dim=-1).values[:, -1:]
        probabilities = probabilities.masked_fill(probabilities < least, 0.0)
    tokens = torch.empty(len(logits), dtype=torch.long, device=logits.device)
    pending = torch.arange(len(logits), device=logits.device)
    mass = probabilities
    while len(pending):
        drawn = draw_any(mass, rng)
        own = mass.gather(1, drawn[:, None])
        likelier = ((mass > own) * mass).sum(-1)
        tokens[pending] = drawn
        kept = (likelier < sampling.top_p * mass.sum(-1)) & (own.squeeze(1) > 0)  # never where odds are not numbers
        pending, mass = pending[~kept], mass[~kept]
        _refuse_no_numbers(mass[:, 0])
    return tokens


def _refuse_no_numbers(odds: Tensor) -> None:
    """One token's odds in each row that is drawn again, [k], few or none: a softmax spreads what is not a number."""
    if len(odds) and not odds.isfinite().all():
        raise ModelError(
            "The generator should give every next token a probability; some are not finite, so its weights "
            "are damaged or its precision is too coarse.",
            "Start over with a lower `fit.lr` and `match.lr`, or with `runtime.precision=fp32`.",
        )


def draw_any(mass: Tensor, rng: torch.Generator) -> Tensor:
    """One token for each row in proportion to its mass: [n, V] -> [n]. First a block of tokens, then one in it."""
    blocks = nn.functional.pad(mass, (0, -mass.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    fine = finest(mass.device)
    sums = blocks.sum(-1).to(fine).cumsum(-1)  # [n, blocks]
    heights = torch.rand(len(mass), 1, generator=rng, device=mass.device, dtype=fine) * sums[:, -1:]
    block = torch.searchsorted(sums, heights, right=True).clamp(max=sums.shape[1] - 1)
    inside = blocks[torch.arange(len(mass), device=mass.device), block.squeeze(1)].to(fine).cumsum(-1)
    heights = heights - sums.gather(1, block) + inside[:, -1:]
    place = torch.searchsorted(inside, heights, right=True).clamp(max=BLOCK - 1)
    return (block * BLOCK + place).squeeze(1).clamp(max=mass.shape[1] - 1)
