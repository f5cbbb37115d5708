"""What data holders agree on, and the sums that they answer with: the pure part of secure aggregation.

A holder adds up the clipped gradients of its own rows, puts the sum on a grid, and hands it to SecAgg+
(`privacy/secagg.py`), which adds integers. Reach and step of the grid are powers of two, so that nothing but this one
rounding happens on the way: the aggregate is the exact sum of what stood on the holders' grids.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from dilm.errors import PrivacyError, RunError
from dilm.types import Task
from dilm.version import VERSION

MODULUS = 2**32
"""Of the masked integers. The sum of all holders, and of their equal weights, must stay below."""
MOST_LEVELS = 2**30
"""Flower holds a value of the grid in 32 bits with a sign."""
TAILS = 12.0
"""Standard deviations of a holder's noise that the grid reaches: beyond are fewer than one number in 10**31."""
FINEST = 8.0
"""Steps that a standard deviation of noise has at least: rounded to the grid it differs from a Gaussian by less than
exp(-2 * pi**2 * 64), which is no number at all."""
CENTRAL, DISTRIBUTED = "central", "distributed"


@dataclass(frozen=True)
class Scale:
    """A grid from `-reach` to `reach`, both powers of two, in `levels` steps."""

    signal: float
    """A sum is clipped to this, number by number, before noise is added: it moves no closer pair of sums apart."""
    reach: float
    levels: int

    @classmethod
    def of(cls, signal: float, noise: float, holders: int) -> Scale:
        """The finest grid that holds a holder's sum and noise of this standard deviation, added up over all holders."""
        reach = 2.0 ** math.ceil(math.log2(signal + TAILS * noise))
        return cls(signal, reach, min(MOST_LEVELS, 2 ** (31 - math.ceil(math.log2(holders)))))

    @property
    def step(self) -> float:
        return 2 * self.reach / self.levels

    def on_grid(self, values: np.ndarray, most: float | None = None) -> np.ndarray:
        """Clipped to `most` (the signal's), and rounded to the nearest point: float64, off by half a step at most.

        What is not a number counts as 0: it must not spoil the sum of the others.
        """
        most = self.signal if most is None else most
        whole = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=most, neginf=-most)
        return np.round(np.clip(whole, -most, most) / self.step) * self.step

    def with_noise(self, values: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """A holder's answer: its sum on the grid, and its share of the noise, which is as fine."""
        answer = self.on_grid(values) + self.on_grid(noise, self.reach)
        return np.clip(answer, -self.reach, self.reach)

    def widened(self, clip: float, numbers: int) -> float:
        """How far a row can move a sum on the grid, which was `clip` before: rounding adds a step at most to each."""
        return clip + self.step * math.sqrt(numbers)


@dataclass(frozen=True)
class Shares:
    """How a sum is put on a grid, and who adds noise to it."""

    scale: Scale
    sensitivity: float
    """How far one row can move the sum on the grid."""
    each: float
    """Standard deviation of the noise that every holder adds; 0 where the server adds it, or nobody."""
    after: float
    """Standard deviation of the noise that the server adds to the sum."""


def shares(clip: float, rows: float, noise: float, numbers: int, terms: Terms) -> Shares:
    """For a sum of `numbers` numbers over about `rows` rows that move it by `clip` each; noise in multiples of that.

    Distributed noise is enough where only `least` holders answer: each adds its part of that few, so that with more of
    them there is more of it. Raises PrivacyError where the grid is too coarse for a holder's noise.
    """
    signal, sensitivity, apart = clip * max(rows, 1.0), clip, terms.noise == DISTRIBUTED
    while True:
        each = noise * sensitivity / math.sqrt(terms.least) if apart else 0.0
        scale = Scale.of(signal, each, terms.clients)
        wider = scale.widened(clip, numbers)
        if wider == sensitivity:
            break
        sensitivity = wider
    if 0 < each < FINEST * scale.step:
        raise PrivacyError(
            f"The holders' noise ({each:.2g}) is too small for a grid of steps of {scale.step:.2g}.",
            "Use federation.noise=central, or a smaller dp.epsilon.",
        )
    return Shares(scale, sensitivity, each, 0.0 if apart else noise * sensitivity)


@dataclass(frozen=True)
class Terms:
    """What the server announces, and holders agree to by joining."""

    task: Mapping[str, Any]
    clients: int
    least: int
    """Holders that must answer a round: of fewer nothing is unmasked."""
    noise: str
    """`central` or `distributed`."""
    epsilon: float
    """0: no differential privacy."""
    contrast: float
    seed: int
    trains: str
    """`all` weights of the generator, or its `body`."""
    precision: str
    drawn: str = "keyed"
    """How each draws noise and coins: `keyed` by a secret of the process, or `secure`, as in `dp.noise`."""
    version: str = VERSION

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Terms:
        """Raises RunError for the terms of another version."""
        told = json.loads(text)
        if told.get("version") != VERSION or set(told) != {field.name for field in fields(cls)}:
            raise RunError(
                f"The server runs dilm {told.get('version')}, and this is dilm {VERSION}.", "Install the same version."
            )
        return cls(**told)

    @property
    def about(self) -> Task:
        """The task that all holders have rows of."""
        lists: dict[str, Any] = {name: tuple(self.task[name]) for name in ("fields", "labels")}
        return Task(**{**self.task, **lists})


def least_of(clients: int, asked: int = 0) -> int:
    """Holders that must answer a round: what is asked, or two thirds, at least 3: of two, each sees the other's sum.

    >>> [least_of(clients) for clients in (3, 4, 5, 10)]
    [3, 3, 4, 7]
    """
    return asked or max(3, math.ceil(2 * clients / 3))


def threat_model(terms: Terms) -> Sequence[str]:
    """Who is protected from whom, and what from: printed by both sides when they begin."""
    said = [
        f"{terms.clients} data holders; a round counts where {terms.least} or more of them answer.",
        "Rows stay where they are. Holders answer with sums over their rows: the number of them, clipped gradients of "
        "the generator, clipped gradients of a learner's head for each class.",
        "Flower's SecAgg+ masks each answer; the server sees the sum of all, and nothing of any one. It hides who gave "
        "what, not what the sum itself says.",
        "Assumed: a server and holders that are curious but follow the protocol. Nobody checks that: a server that "
        "invents holders, and holders that lie about their sums, are not found out.",
        f"{terms.least - 1} of them with the server see a single other's answer where only {terms.least} answered, and "
        f"{terms.least} with the server any; all but one see that one's from the sum alone.",
        "Masks follow from 256-bit keys by SHAKE-256 (Flower's own generator would keep 32 bits of them); sums are "
        "clipped and rounded to a grid first.",
    ]
    if terms.least == 2:
        said.append("Where no more than two are left, each of them sees the other's sum.")
    return [*said, _noise_told(terms)]


def _noise_told(terms: Terms) -> str:
    if not terms.epsilon:
        return "No noise: the sums, and what is made of them, may give away rows. This is not differential privacy."
    if terms.noise == DISTRIBUTED:
        return (
            f"Differential privacy (epsilon {terms.epsilon:g} for a row): every holder adds its share of the noise "
            f"before masking, so the server sees no sum without it; whose noise is known takes it away."
        )
    return (
        f"Differential privacy (epsilon {terms.epsilon:g} for a row) of what is made: the server adds the noise to "
        "each sum, and sees it without. Against the server itself only the masks protect."
    )
