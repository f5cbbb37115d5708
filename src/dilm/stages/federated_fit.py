"""fit with rows that stay with their holders: every step goes along the secure sum of their clipped gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dilm import federated, private
from dilm.build import Bench
from dilm.privacy.dpsgd import Bounds, DPAdamW, row_by_row
from dilm.privacy.federation import Shares
from dilm.runtime.optimize import AdamW
from dilm.runtime.progress import bar
from dilm.schedules import fit_schedule
from dilm.stages import domain
from dilm.stages.private_fit import prepared, trained
from dilm.stages.training import Training


def run(bench: Bench) -> dict[str, Any]:
    """Facts: steps, how many holders answered at least, and what was spent. Losses of rows are not asked for."""
    wanted, recipe, holders = bench.recipe.fit, bench.recipe, federated.holders(bench)
    used = federated.mechanism(bench, "fit")
    schedule, name = fit_schedule(recipe, private.rows(bench)), _release(bench)
    first = bench.generator("pretrain")
    read, corpus = domain.pretrained(bench, first)
    generator = prepared(first, wanted.name_classes, recipe.dp.trains)
    weights = trained(generator)
    count = used.rate * private.rows(bench)
    way = federated.way(bench, recipe.dp.clip, count, used.noise, sum(each.numel() for each in weights))
    update = _update(bench, AdamW(weights, schedule, bench.crew), way, count)
    training = Training(bench.folder("fit"), generator.model, update)
    training.resume()
    holders.brief("generator", generator.save)
    asked = {"what": federated.FIT, "rate": used.rate, "clip": recipe.dp.clip, "noise": way.each}
    fewest = holders.terms.clients
    with bar("fit the generator with the holders", schedule.steps, training.step) as advance:
        while training.step < schedule.steps:
            chunk = range(training.step, min(training.step + wanted.check_every, schedule.steps))
            federated.charge(bench, "fit", f"{name} {chunk.start}-{chunk.stop}", used, len(chunk))
            for step in chunk:
                arrays = [each.detach().float().cpu().numpy() for each in weights]
                total, answered = holders.sum(asked | {"step": step}, arrays, way.scale)
                update.along(_parts(total, weights))
                fewest = min(fewest, answered)
                advance(1)
            training.checkpoint()
    generator.save(bench.folder("fit") / "model")
    training.clean()
    domain.cleaned(corpus)
    told = {"curve": [], "steps": training.step, "fewest_holders": fewest, "privacy": private.spend(bench)}
    return told | read


def _release(bench: Bench) -> str:
    """What identifies the releases of this stage, but for the process that asks for them."""
    if not private.wanted(bench.recipe):
        return ""
    return private.release_at_work(bench, "fit", private.mechanisms(bench)["fit"])


def _update(bench: Bench, adam: AdamW, way: Shares, count: float) -> DPAdamW:
    """AdamW along sums, to which the server's share of the noise is added."""
    bounds = Bounds(way.sensitivity, way.after / way.sensitivity, count)
    return DPAdamW(adam, bounds, federated.server_noise(bench), row_by_row)


def _parts(total: np.ndarray, weights: list[Any]) -> list[Tensor]:
    """The sum as one tensor for each weight."""
    whole = torch.from_numpy(total).float()
    parts = whole.split([each.numel() for each in weights])
    return [part.view_as(each).to(each.device) for part, each in zip(parts, weights, strict=True)]
