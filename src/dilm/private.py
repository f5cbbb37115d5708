"""From the recipe's section `dp` to budgets, mechanisms, secret noise and the ledger of a run.

Noise and coins follow from a secret in the user's cache and from what identifies a release: settings, rows, machine.
So a stage that is redone makes the very same numbers, which costs nothing, and anything else has noise of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch

from dilm import cleaning
from dilm.build import Bench
from dilm.errors import PrivacyError
from dilm.privacy.ledger import Budget, Entry, Ledger, Mechanism, calibrated
from dilm.privacy.noise import Keyed, Noise, Secure, key_of
from dilm.recipe import Recipe
from dilm.recipe.private_rules import MECHANISMS, require_mechanism
from dilm.runs import LEDGER
from dilm.runtime.hashing import key
from dilm.schedules import fit_steps
from dilm.types import Dataset
from dilm.version import VERSION

UNITS = {False: "one row of the train split more or less", True: "one user, with all rows, more or less"}
"""Of the guarantee: where data.user names whose rows they are, one of each is kept."""
SPENDING = ("fit", "match")
"""Stages that touch real rows by a mechanism."""


def wanted(recipe: Recipe) -> bool:
    """Whether the run promises differential privacy."""
    return recipe.dp.epsilon > 0


def content(recipe: Recipe) -> list[Any]:
    """What a stage key says of it: nothing where it is off."""
    spare = recipe.federation.spare if not recipe.federation.clients else 0.0  # else it is told there
    return [asdict(recipe.dp), states(recipe), *([spare] if spare else [])] if wanted(recipe) else []


def real_rows(bench: Bench, touch: str) -> Dataset:
    """The train rows, for a declared touch on the road to the product. Raises PrivacyError for any other."""
    require_mechanism(bench.recipe, touch)
    return bench.splits.train


def budget(bench: Bench) -> Budget:
    """What the run may spend. Raises PrivacyError where delta promises nothing."""
    asked, count = bench.recipe.dp, rows(bench)
    delta = asked.delta or count**-1.2
    if delta >= 1 / count:
        raise PrivacyError(
            f"dp.delta is {delta:g}, and of {count} train rows one could be published at a chance of {1 / count:.1e}.",
            f"Set it below that, or leave it out for {count**-1.2:.1e}.",
        )
    return Budget(asked.epsilon, delta, asked.accountant)


def mechanisms(bench: Bench) -> dict[str, Mechanism]:
    """What `fit` and `match` may do with real rows: the target takes its share, fit what composition leaves."""
    recipe, whole = bench.recipe, budget(bench)
    rate, steps = rate_of(bench), _spared(recipe, fit_steps(recipe, rows(bench)))
    released = _spared(recipe, states(recipe))
    if not released:
        return {"fit": Mechanism(rate, calibrated(whole, rate, steps), steps)}
    share = Budget(recipe.dp.target * whole.epsilon, whole.delta, whole.accountant)
    target = Mechanism(1.0, calibrated(share, 1.0, released), released)
    return {"fit": Mechanism(rate, calibrated(whole, rate, steps, [target]), steps), "match": target}


def rate_of(bench: Bench) -> float:
    """Chance of a row to take part in a step of fit."""
    return min(1.0, bench.recipe.fit.batch / rows(bench))


def ledger(bench: Bench) -> Ledger:
    """What the run spent and may spend."""
    return Ledger(bench.run.folder / LEDGER, budget(bench))


def entry(stage: str, mechanism: Mechanism, steps: int) -> Entry:
    """So many steps of a stage's mechanism."""
    what = MECHANISMS["fit" if stage == "fit" else "target"].partition(":")[0]
    return Entry(stage, f"{stage} ({what})", Mechanism(mechanism.rate, mechanism.noise, steps))


def release(bench: Bench, stage: str, stage_key: str, mechanism: Mechanism) -> str:
    """What identifies the numbers that a stage makes of real rows, on this machine and with this secret."""
    place = bench.place
    machine = [str(place.device), place.bf16, torch.get_num_threads(), version("torch"), VERSION]
    mark = hmac.digest(cleaning.secret(), b"privacy", hashlib.sha256)[:8].hex()
    return key([stage, stage_key, asdict(mechanism), _counted(bench)["fingerprints"]["train"], machine, mark])


def release_at_work(bench: Bench, stage: str, mechanism: Mechanism) -> str:
    """The same of the stage that is being done."""
    return release(bench, stage, (bench.folder(stage) / "key").read_text(encoding="utf-8"), mechanism)


def noise(bench: Bench, identity: str) -> Noise:
    """The source of a release's noise and coins."""
    if bench.recipe.dp.noise == "secure":
        return Secure()
    return Keyed(key_of(cleaning.secret(), "privacy", identity))


def require_room(bench: Bench, stage: str, stage_key: str) -> None:
    """Raise PrivacyError where a stage, done as a whole, would exceed the budget: before its earlier work is cleared.

    What it spent already on the same release is not counted twice, where that can be made again or is continued.
    """
    if stage not in SPENDING or not wanted(bench.recipe):
        return
    mechanism = mechanisms(bench).get(stage)
    if mechanism is None:
        return
    own, book = release(bench, stage, stage_key, mechanism), ledger(bench)
    whole = fit_steps(bench.recipe, rows(bench)) if stage == "fit" else states(bench.recipe)
    known = _repeatable(bench.recipe) or bench.run.stage(stage).is_begun(stage_key)
    done = sum(each.mechanism.steps for name, each in book.entries.items() if known and name.startswith(own))
    if done < whole:
        book.require({f"{own} whole": entry(stage, mechanism, whole - done)})


def _repeatable(recipe: Recipe) -> bool:
    """Whether the same release comes out the same bit for bit, noise included."""
    return recipe.dp.noise == "keyed" and not recipe.federation.clients


def spend(bench: Bench) -> dict[str, Any]:
    """What the run spent, as plain values; empty where nothing was promised."""
    if not wanted(bench.recipe):
        return {}
    book = ledger(bench)
    together: dict[tuple[str, float, float], int] = {}
    for each in book.entries.values():
        used = each.mechanism
        place = (each.what, used.rate, used.noise)
        together[place] = together.get(place, 0) + used.steps
    told = [
        {"what": what, "rate": rate, "noise": noise, "steps": steps} for (what, rate, noise), steps in together.items()
    ]
    return {
        "epsilon": book.epsilon,
        "budget": book.budget.epsilon,
        "delta": book.budget.delta,
        "unit": UNITS[bool(bench.recipe.data.user)],
        "accountant": book.budget.accountant,
        "noise": bench.recipe.dp.noise,
        "mechanisms": told,
        **({"federation": asdict(bench.recipe.federation)} if bench.recipe.federation.clients else {}),
    }


def statement(told: Mapping[str, Any]) -> str:
    """The guarantee in one sentence, without its full stop."""
    return (
        f"the texts are differentially private: epsilon {told['epsilon']:.2f} at delta {told['delta']:.1e} for "
        f"{told['unit']}, a guarantee of the algorithm under its assumptions. Outside it are what models read before "
        "(public pre-training), and every score and measure printed here, which real rows were asked for; the number "
        "of rows and the names of the classes count as public"
    )


def rows(bench: Bench) -> int:
    """Of the train split, or of all data holders together: a public number, for which no row is read."""
    counted = _counted(bench)
    return counted["federation"]["rows"] if "federation" in counted else counted["rows"]["train"]


def _counted(bench: Bench) -> dict[str, Any]:
    """What `load` counted."""
    return bench.run.stage("load").manifest or {}


def states(recipe: Recipe) -> int:
    """Of the learner, at which the target is released."""
    return recipe.match.trajectories * recipe.match.ages if recipe.match.steps else 0


def _spared(recipe: Recipe, steps: int) -> int:
    """The steps, and those that holders may be asked for once more."""
    return math.ceil(steps * (1 + recipe.federation.spare))
