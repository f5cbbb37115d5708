"""Whose optimiser keeps which moments: of several processes each has those of a share of the weights, and moves these.

The first stage of ZeRO (Rajbhandari et al., 2020): all processes hold all weights and, for a step, all gradients, which
are the same everywhere. Adam's two moments, as much again as both, exist once. After a step each sends what it moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dilm.runtime.processes import Crew

State = dict[str, Tensor]
"""What Adam knows of one parameter: its step and its moments."""
PARTS = ("step", "exp_avg", "exp_avg_sq")


class Shards:
    """Parameters in the order of the optimiser's groups, each with the process of `crew` that keeps its moments."""

    def __init__(self, parameters: Sequence[nn.Parameter], crew: Crew) -> None:
        self.parameters = list(parameters)
        self.crew = crew
        self.owners = fair([parameter.numel() for parameter in self.parameters], crew.size)

    def own(self, parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
        """Those of them that this process moves."""
        mine = {id(each) for each, owner in zip(self.parameters, self.owners, strict=True) if owner == self._rank}
        return [parameter for parameter in parameters if id(parameter) in mine]

    def exchange(self) -> None:
        """Give everybody each parameter that has a gradient as its owner moved it."""
        for parameter, owner in zip(self.parameters, self.owners, strict=True):
            if parameter.grad is not None:
                self.crew.copy_from(owner, [parameter])

    def together(self, states: Mapping[Any, State]) -> dict[int, State]:
        """Everybody's states by the parameter's place, from each one's by parameter.

        Only the first process gets those of others, in main memory.
        """
        own = [place for place, parameter in enumerate(self.parameters) if states.get(parameter)]
        found: dict[int, State] = {}
        for place in sorted(place for known in self.crew.gathered(own) for place in known):
            parameter, mine = self.parameters[place], self.owners[place] == self._rank
            state = states[parameter] if mine else blank(parameter)
            self.crew.copy_from(self.owners[place], [state[part] for part in PARTS])
            if not self._rank:
                found[place] = state if mine else {name: value.cpu() for name, value in state.items()}
        return found

    def apart(self, states: Mapping[int, State]) -> dict[int, State]:
        """Of states by the parameter's place those of this process, by the place among its own."""
        mine = [place for place, owner in enumerate(self.owners) if owner == self._rank]
        return {
            number: {name: self.crew.sliced(value, self.parameters[place]) for name, value in states[place].items()}
            for number, place in enumerate(mine)
            if place in states
        }

    @property
    def _rank(self) -> int:
        return self.crew.rank % self.crew.size


def blank(parameter: nn.Parameter) -> State:
    """As before a first step."""
    step, *moments = PARTS
    return {step: torch.zeros((), device=parameter.device)} | {name: torch.zeros_like(parameter) for name in moments}


def fair(sizes: Sequence[int], parts: int) -> list[int]:
    """Which of `parts` each item goes to, so that their sums are alike: the largest first, to whoever has least.

    >>> fair([5, 1, 4, 2], parts=2)
    [0, 0, 1, 1]
    """
    sums, found = [0] * parts, [0] * len(sizes)
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        part = sums.index(min(sums))
        sums[part] += sizes[place]
        found[place] = part
    return found


def as_one(states: Mapping[int, State], groups: Sequence[Mapping[str, Any]], counts: Sequence[int]) -> dict[str, Any]:
    """The state of an optimiser that had all parameters, so many of each group, as torch writes it."""
    first, described = 0, []
    for group, count in zip(groups, counts, strict=True):
        described.append({**group, "params": list(range(first, first + count))})
        first += count
    return {"state": dict(states), "param_groups": described}
