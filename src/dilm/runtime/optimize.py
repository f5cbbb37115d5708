"""Gradient descent as every stage uses it: AdamW, linear warm-up, cosine decay, clipping by global norm."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dilm.errors import ResourceError
from dilm.runtime.memory import Appetite, is_shortage
from dilm.runtime.processes import ALONE, Crew
from dilm.runtime.shards import Shards, as_one, blank
from dilm.runtime.summed import into_sums

Row = TypeVar("Row")

AT_ONCE = {"cpu": 64}
"""Rows whose graph is kept until it is back-propagated; elsewhere all. On a processor more are no quicker."""

LESS = "Continue the run with a smaller batch (`fit.batch`, `match.synthetic`) or `runtime.recompute=true`."


@dataclass(frozen=True)
class Schedule:
    """Settings of one optimisation; `warmup` is the share of `steps` in which the rate climbs to `lr`."""

    steps: int
    lr: float
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0

    @property
    def kept(self) -> float:
        """What weight decay leaves, after all steps, of a weight that gets no gradient."""
        return math.prod(1 - self.rate(step) * self.weight_decay for step in range(self.steps))

    def rate(self, step: int) -> float:
        """Learning rate of a step (0-based): linear warm-up, then half a cosine down to 0 (paper 1.7).

        >>> [round(Schedule(4, 1.0, warmup=0.5).rate(step), 3) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]
        """
        ramp = self.warmup * self.steps
        if step < ramp:
            return self.lr * (step + 1) / math.ceil(ramp)
        progress = (step - math.ceil(ramp)) / max(self.steps - math.ceil(ramp), 1)
        return self.lr * 0.5 * (1 + math.cos(math.pi * progress))


class AdamW:
    """The default `Updater`: its step count is its only memory besides torch's own optimiser state.

    Processes of a crew begin with equal weights and keep them: the gradient is the sum of their shares everywhere, each
    moves the weights whose moments it keeps, and sends them.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], schedule: Schedule, crew: Crew = ALONE) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.schedule = schedule
        self.crew = crew
        self.step = 0
        self.appetite = Appetite(amount=AT_ONCE.get(self.parameters[0].device.type, sys.maxsize))
        decayed = [p for p in self.parameters if p.ndim >= 2]
        plain = [p for p in self.parameters if p.ndim < 2]
        self.counts = len(decayed), len(plain)
        self.shards = Shards([*decayed, *plain], crew)
        self.own = self.shards.own(self.parameters)
        groups = [
            {"params": self.shards.own(decayed), "weight_decay": schedule.weight_decay},
            {"params": self.shards.own(plain), "weight_decay": 0.0},
        ]
        self.adam = torch.optim.AdamW(groups, lr=schedule.lr, fused=True)

    def __call__(self, losses: Iterable[Tensor], count: int) -> float:
        """Back-propagate the mean of `count` scalar losses one graph at a time, then step; returns the mean.

        Of several processes each brings the losses of its share, and `count` is that of all.
        """
        self.forget()
        total, inputs = 0.0, self.crew.inputs(self.parameters)
        for loss in losses:
            with into_sums(self.parameters):
                (loss / count).backward(inputs=inputs)
            total += float(loss.detach())
        steps, totals = zip(*self.crew.gathered((self.step, total)), strict=True)
        if len(set(steps)) > 1:  # a step was begun anew here for want of memory after it was finished elsewhere
            raise ResourceError("Memory ran out in the middle of a step of several processes.", LESS)
        self.crew.add_gradients(self.parameters)
        self.advance()
        return sum(totals) / count

    def advance(self) -> None:
        """One step along the gradients that the parameters hold."""
        short = ""
        try:
            self._move()
        except Exception as fault:
            if self.crew.size == 1 or not is_shortage(fault):
                raise
            short = str(fault).partition("\n")[0]
        if told := next(filter(None, self.crew.gathered(short)), ""):  # else the others would wait for this one
            raise ResourceError(f"Memory ran out in a step of several processes ({told}).", LESS)
        self.shards.exchange()
        self.step += 1

    def _move(self) -> None:
        """The weights whose moments are kept here."""
        nn.utils.clip_grad_norm_(self.parameters, self.schedule.clip)
        for group in self.adam.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        self._make_moments()
        self.adam.step()

    def _make_moments(self) -> None:
        """As torch makes them within the first step, but before it: where memory runs out nothing is half done."""
        for parameter in self.own:
            if parameter.grad is not None and not self.adam.state[parameter]:
                self.adam.state[parameter] = blank(parameter)

    def on(self, loss_of: Callable[[Sequence[Row]], Tensor], rows: Sequence[Row]) -> float:
        """One step on the mean loss of `rows`, given each one's, n rows -> [n]; returns that mean, before the step.

        In micro-batches, smaller from then on where memory does not suffice: rows of like length should stand together.
        Of several processes each takes its share of the rows. The same gradient, but for rounding and dropout.
        """
        own = self.share(rows)
        self.crew.draw_apart()

        def step(size: int) -> float:
            parts = (own[first : first + size] for first in range(0, len(own), size))
            return self((loss_of(part).sum() / len(rows) for part in parts), 1)

        return self.appetite.feed(max(len(own), 1), step)

    def share(self, items: Sequence[Row]) -> Sequence[Row]:
        """The part of the items whose losses this process brings to a step."""
        return self.crew.share(items)

    def mean(self, values: Sequence[float]) -> float:
        """The mean over all parts."""
        return self.crew.mean(values)

    def forget(self) -> None:
        """Free the gradients of the last step."""
        for parameter in self.parameters:
            parameter.grad = None

    def let_go(self) -> None:
        """Free everything but the weights: nothing more is to be learnt."""
        self.forget()
        self.adam.state.clear()

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, of however many processes; only the first is told all of it."""
        groups = self.adam.state_dict()["param_groups"]
        return {"step": self.step, "adam": as_one(self.shards.together(self.adam.state), groups, self.counts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.step = state["step"]
        groups = self.adam.state_dict()["param_groups"]
        self.adam.load_state_dict({"state": self.shards.apart(state["adam"]["state"]), "param_groups": groups})
