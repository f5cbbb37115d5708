"""How learners are trained when they are measured: on a small set, and on all real rows."""

from __future__ import annotations

from dilm.recipe import Recipe
from dilm.runtime.optimize import Schedule


def trial_schedule(recipe: Recipe) -> Schedule:
    """The paper's protocol for a small set."""
    wanted = recipe.evaluate
    return Schedule(wanted.steps, wanted.lr, wanted.warmup, wanted.weight_decay, wanted.clip)


def full_schedule(recipe: Recipe) -> Schedule:
    """Training on all real rows."""
    wanted = recipe.evaluate
    return Schedule(wanted.full_steps, wanted.full_lr, wanted.full_warmup, wanted.weight_decay, wanted.clip)
