"""The target gradient of rows that stay with their holders: one secure sum for each state of the learner."""

from __future__ import annotations

from pathlib import Path

import torch

from dilm import federated, private
from dilm.build import Bench
from dilm.distillation.trajectory import Cached
from dilm.models.classifier import Classifier
from dilm.models.snapshots import Vectors
from dilm.privacy.released import Released
from dilm.runtime.progress import bar


def released_target(bench: Bench, learner: Classifier, bank: Cached) -> Released:
    """The sums of every state and condition, asked for now where they are not on disk yet."""
    used = federated.mechanism(bench, "match")
    name = private.release_at_work(bench, "match", used)
    sums = Vectors(bench.folder("match") / "released" / name)
    numbers = sum(each.numel() for each in learner.head_parameters())
    states = [f"{life}.{age}" for life in range(bank.lives) for age in range(bank.ageing.ages)]
    with bar("ask for the target", len(states)) as advance:
        for state in states:
            if any(f"{state}.{condition}" not in sums for condition in learner.task.conditions):
                learner.restore(bank.bank[state])
                federated.charge(bench, "match", f"{name} {state}", used, 1)
                found = _asked(bench, learner, used.noise, state)
                for condition, total in enumerate(found.split(numbers)):
                    sums[f"{state}.{condition}"] = total
            advance(1)
    return Released(sums, bank.age)


def _asked(bench: Bench, learner: Classifier, noise: float, state: str) -> torch.Tensor:
    """The holders' clipped gradients of all conditions, side by side, with their noise."""
    holders, numbers = federated.holders(bench), sum(each.numel() for each in learner.head_parameters())
    clip, whole = bench.recipe.dp.target_clip, numbers * len(learner.task.labels)
    way = federated.way(bench, clip, private.rows(bench), noise, whole)

    def save(folder: Path) -> None:
        learner.model.save_pretrained(folder)
        learner.encodings.tokenizer.save_pretrained(folder)

    holders.brief("learner", save)
    total, _ = holders.sum({"what": federated.TARGET, "clip": clip, "noise": way.each}, [], way.scale)
    found = torch.from_numpy(total).float()
    if way.after:
        found += way.after * federated.server_noise(bench).normal(found, "target", state)
    return found
