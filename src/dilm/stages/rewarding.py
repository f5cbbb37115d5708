"""The reward of `match`: what scores a set of proposals, and the train rows that are kept for that."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dilm import private
from dilm.build import Bench
from dilm.distillation.reward import Reward
from dilm.evaluation.finetune import finetune
from dilm.models.learners import AnyLearner
from dilm.protocols import Proposals
from dilm.runtime.optimize import Schedule
from dilm.runtime.seeding import derive, python_stream
from dilm.stages.grading import grade
from dilm.types import Dataset

MOST = 4
"""At most a row of so many is kept for rewards."""


def rewarded(bench: Bench, proposals: Proposals, seed: int) -> Reward | None:
    """What rewards proposals, where that is asked for; with a learner of its own, trained anew on each set."""
    wanted = bench.recipe.match
    if not wanted.reward:
        return None
    score = partial(_scores, bench, bench.learner(), kept(bench), seed)
    sizes = wanted.reward_sets, wanted.check_per_class, wanted.reward_every
    return Reward(bench.task, proposals, score, wanted.reward, *sizes, seed)


def _scores(
    bench: Bench, learner: AnyLearner, rows: Dataset, seed: int, sets: Sequence[Dataset], step: int
) -> list[float]:
    """The grade on `rows` of a learner that each set taught; all from one seed, so that the sets alone differ.

    Of several processes each takes some sets, and all know all scores."""
    trial, own = bench.recipe.evaluate, []
    schedule = Schedule(bench.recipe.match.reward_steps, trial.lr, trial.warmup)
    for number in bench.crew.share(range(len(sets))):
        finetune(learner, sets[number], schedule, trial.batch, derive(seed, "reward", step))
        own.append((number, grade(learner, rows)))
    return [score for _, score in sorted(each for several in bench.crew.gathered(own) for each in several)]


def matched_rows(bench: Bench, touch: str) -> Dataset:
    """The train rows for a touch of matching: all, but for those that rewards are scored on."""
    train = private.real_rows(bench, touch)
    return without_kept(bench, train) if bench.recipe.match.reward else train


def without_kept(bench: Bench, train: Dataset) -> Dataset:
    """Train rows without those that rewards are scored on."""
    taken = set(_positions(bench, train))
    return train.take(row for row in range(len(train)) if row not in taken)


def kept(bench: Bench) -> Dataset:
    """The train rows that rewards are scored on, and that matching sees nowhere else; of each condition its share."""
    train = private.real_rows(bench, "reward")
    return train.take(_positions(bench, train))


def _positions(bench: Bench, train: Dataset) -> list[int]:
    """Of the kept rows; the same in all runs on the same rows."""
    share = min(bench.recipe.match.reward_rows / len(train), 1 / MOST)
    rng = python_stream(bench.recipe.data_seed, "reward rows")
    rows = [train.where(condition) for condition in train.task.conditions]
    return [position for each in rows for position in rng.sample(each, int(share * len(each)))]
