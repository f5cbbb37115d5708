"""How long and how fast generators are fitted, and learners trained: on a small set, and on all real rows."""

from __future__ import annotations

from dilm.generators import most_learned, peak_rate
from dilm.recipe import Recipe
from dilm.runtime.optimize import Schedule

PASSES, FEWEST, MOST = 2, 300, 1200
"""Over the train rows, and steps: of a fit that is as long as suits the rows."""


def fit_schedule(recipe: Recipe, rows: int) -> Schedule:
    """Class-conditional language modelling of so many train rows."""
    wanted = recipe.fit
    rate = peak_rate(wanted.lr, most_learned(recipe), scratch=1e-3, pretrained=3e-4)
    return Schedule(fit_steps(recipe, rows), rate, wanted.warmup, wanted.weight_decay, wanted.clip)


def fit_steps(recipe: Recipe, rows: int) -> int:
    """Those asked for, or as many as suit the rows; the number of private or federated rows does not decide.

    >>> [fit_steps(Recipe(), rows) for rows in (500, 25_000, 60_000)]
    [300, 781, 1200]
    """
    wanted = recipe.fit
    if wanted.steps >= 0:
        return wanted.steps
    hidden = recipe.dp.epsilon > 0 or recipe.federation.clients > 0
    return FEWEST if hidden else min(max(PASSES * rows // wanted.batch, FEWEST), MOST)


def trial_schedule(recipe: Recipe) -> Schedule:
    """The paper's protocol for a small set."""
    wanted = recipe.evaluate
    return Schedule(wanted.steps, wanted.lr, wanted.warmup, wanted.weight_decay, wanted.clip)


def full_schedule(recipe: Recipe) -> Schedule:
    """Training on all real rows."""
    wanted = recipe.evaluate
    return Schedule(wanted.full_steps, wanted.full_lr, wanted.full_warmup, wanted.weight_decay, wanted.clip)
