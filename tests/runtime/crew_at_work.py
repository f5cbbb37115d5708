"""What each of a few processes finds when they work together; printed as one JSON object. Run by test_processes."""

from __future__ import annotations

import json
import os

import torch
from torch import Tensor, nn

from dilm.errors import RecipeError, ResourceError
from dilm.runtime import processes
from dilm.runtime.optimize import AdamW, Schedule

STEPS = 4


def net(inputs: int = 3) -> nn.Module:
    """Two layers, and one that no loss ever touches."""
    torch.manual_seed(0)
    return nn.ModuleDict({"first": nn.Linear(inputs, 5), "last": nn.Linear(5, 1), "idle": nn.Linear(2, 2)})


def batch(rows: int) -> list[Tensor]:
    return list(torch.randn(rows, 3, generator=torch.Generator().manual_seed(rows)))


def trained(crew: processes.Crew, rows: int) -> list[float]:
    """What weights and losses some steps on so many rows lead to: rows by `on`, then their losses one by one."""
    model = net()
    update = AdamW(model.parameters(), Schedule(2 * STEPS, 1e-2), crew)

    def losses(part: list[Tensor]) -> Tensor:
        return model["last"](model["first"](torch.stack(part)).tanh()).square().squeeze(1)

    told = [update.on(losses, batch(rows)) for _ in range(STEPS)]
    told += [update((losses([row]).sum() for row in update.share(batch(rows))), rows) for _ in range(STEPS)]
    assert all(parameter.grad is None for parameter in model["idle"].parameters())
    return [*told, *nn.utils.parameters_to_vector(model.parameters()).tolist()]


def continued(crew: processes.Crew) -> dict[str, object]:
    """Weights after some steps, and after as many more; these again from a checkpoint; how many moments are kept."""
    model = net()
    update = AdamW(model.parameters(), Schedule(2 * STEPS, 1e-2), crew)
    _descend(model, update)
    state = crew.gathered(update.state())[0]  # as the first writes it
    begun = nn.utils.parameters_to_vector(model.parameters()).tolist()
    _descend(model, update)
    again = net()
    nn.utils.vector_to_parameters(torch.tensor(begun), again.parameters())
    resumed = AdamW(again.parameters(), Schedule(2 * STEPS, 1e-2), crew)
    resumed.restore(state)
    _descend(again, resumed)
    kept = [sum(held["exp_avg"].numel() for held in each.adam.state.values()) for each in (update, resumed)]
    ends = [nn.utils.parameters_to_vector(each.parameters()).tolist() for each in (model, again)]
    return {"begun": begun, "ends": ends, "kept": kept, "saved": sorted(state["adam"]["state"])}


def _descend(model: nn.Module, update: AdamW) -> None:
    for step in range(STEPS):
        update.on(lambda part: model["last"](model["first"](torch.stack(part))).square().squeeze(1), batch(5 + step))


def short_of_memory(crew: processes.Crew) -> str:
    """What is said where one process has no room for its moments, and whether all go on from there alike."""
    model = net()
    update = AdamW(model.parameters(), Schedule(2 * STEPS, 1e-2), crew)
    make = update._make_moments

    def fail() -> None:
        if crew.rank == crew.size - 1 and update.step == 0:
            raise RuntimeError("CUDA out of memory (said so)")
        make()

    update._make_moments = fail  # type: ignore[method-assign]
    try:
        _descend(model, update)
    except ResourceError as fault:
        return str(fault)
    return "nothing"


def relayed(crew: processes.Crew) -> str:
    """How a fault of the first reaches this process."""

    def fail() -> None:
        assert crew.size == 1 and crew.share("ab") == "ab" and crew.told(lambda: 7) == 7 and crew.mean([2.0]) == 2.0
        raise RecipeError("wrong", "mend it")

    try:
        crew.told(fail)
    except RecipeError as fault:
        return f"{fault}; {type(fault.__cause__).__name__}"
    return "nothing"


def drawn(crew: processes.Crew) -> float:
    torch.manual_seed(5)
    crew.draw_apart()
    return torch.rand(1).item()


def alike(crew: processes.Crew) -> list[float]:
    model = nn.Linear(2, 2)
    nn.init.constant_(model.weight, float(crew.rank + 1))
    crew.start_alike(model)
    return model.weight.flatten().tolist()


def main() -> None:
    crew = processes.crew()
    found = {
        "rank": crew.rank,
        "size": crew.size,
        "share": list(crew.share(range(7))),
        "empty": list(crew.share(range(1))),
        "told": crew.told(os.getpid),
        "gathered": crew.gathered(crew.rank),
        "mean": crew.mean([1.0, 2.0, 6.0][crew.rank :: crew.size]),
        "trained": {rows: trained(crew, rows) for rows in (1, 5)},
        "continued": continued(crew),
        "short": short_of_memory(crew),
        "relayed": relayed(crew),
        "drawn": drawn(crew),
        "alike": alike(crew),
        "tells": crew.tells(RecipeError("wrong", "mend it")),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
