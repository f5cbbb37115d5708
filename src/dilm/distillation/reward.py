"""A reward for what is written: sets of proposals teach a learner, and a proposal in sets that taught better becomes
likelier.

What is minimised beside the mismatch is -(1/n) sum over i of advantage_i * log p(text_i), so its slope is that of
REINFORCE (Williams 1992) with the other sets as its baseline. With texts that the generator draws, each held by a set
of m of the n, and advantages as they are, the slope's expectation is 1/n - 1/m times that of the expected score of m
texts: less of it is more score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dilm.protocols import Proposals
from dilm.runtime.seeding import numpy_stream
from dilm.types import Dataset, Task

Score = Callable[[Sequence[Dataset], int], Sequence[float]]
"""(k small sets, step) -> how well each taught, more is better."""


@dataclass
class Reward:
    """Every so many steps, `sets` sets of `size` proposals of each condition are scored; then `weight` times the term.

    What it says at a step follows from that step's proposals alone: a run can be resumed anywhere.
    """

    task: Task
    proposals: Proposals
    score: Score
    weight: float
    sets: int
    size: int
    every: int
    seed: int
    advantages: dict[int, Tensor] = field(default_factory=dict)
    """Of the proposals of each condition at the step at hand; none where it is no step of rewards."""
    seen: list[float] = field(default_factory=list)
    name: str = "reward"

    def prepare(self, step: int) -> None:
        """Draw the sets of a step and score them, where it is one of rewards."""
        self.advantages = {}
        if step % self.every:
            return
        texts = {condition: self.proposals(condition, step) for condition in self.task.conditions}
        held = {
            condition: lots(len(rows), self.sets, self.size, numpy_stream(self.seed, "reward", condition, step))
            for condition, rows in texts.items()
        }
        drawn = [
            Dataset(self.task, [texts[each][row] for each in texts for row in held[each][number].nonzero()[0].tolist()])
            for number in range(self.sets)
        ]
        scores = np.array(self.score(drawn, step))
        self.seen.append(float(scores.mean()))
        self.advantages = {
            condition: torch.from_numpy(standardised(advantages(scores, rows), rows.sum(axis=0) > 0))
            for condition, rows in held.items()
        }

    def __call__(self, condition: int, nll: Tensor) -> Tensor:
        """What is added to the loss of a condition's proposals, given their nll [n]: a scalar, with its graph."""
        if condition not in self.advantages:
            return nll.new_zeros(())
        return self.weight * (self.advantages[condition].to(nll) * nll).mean()

    def told(self) -> list[float]:
        """The mean score of each step of rewards since this was asked last."""
        told, self.seen = self.seen, []
        return told


def lots(rows: int, sets: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Which of n rows each set holds, `size` of them or half where that is less: -> bool [sets, n].

    A set is any `size` rows with the same chance. All rows are held before one is held twice, as far as whole sets go.

    >>> lots(4, 2, 2, np.random.default_rng(0)).sum(axis=0).tolist()
    [1, 1, 1, 1]
    """
    size = max(min(size, rows // 2), 1)
    held = np.zeros((sets, rows), dtype=bool)
    order = np.array([], dtype=int)
    for number in range(sets):
        if len(order) < size:
            order = rng.permutation(rows)
        held[number, order[:size]] = True
        order = order[size:]
    return held


def advantages(scores: np.ndarray, held: np.ndarray) -> np.ndarray:
    """How much better the sets that hold a row are than all, on average: [k], bool [k, n] -> [n]; in none: 0."""
    times = held.sum(axis=0)
    mean = scores @ held / np.maximum(times, 1)
    return np.where(times > 0, mean - scores.mean(), 0.0)


def standardised(values: np.ndarray, among: np.ndarray, least: float = 1e-9) -> np.ndarray:
    """Of mean 0 and deviation 1 `among` some; 0 elsewhere, and all 0 where these are equal: [n], bool [n] -> [n].

    >>> standardised(np.array([1.0, 3.0, 9.0]), np.array([True, True, False])).tolist()
    [-1.0, 1.0, 0.0]
    """
    found, seen = np.zeros(len(values)), values[among]
    if seen.std() > least:
        found[among] = (seen - seen.mean()) / seen.std()
    return found
