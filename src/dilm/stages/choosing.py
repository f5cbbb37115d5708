"""From the recipe to the selector of a run: filters, near-duplicates left out, and sets raced by trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dilm.build import Bench
from dilm.coresets.distinct import Distinct
from dilm.coresets.filtered import Filtered, Tally
from dilm.coresets.filters import (
    Agreeing,
    Answering,
    Covered,
    Filter,
    Fluent,
    LongEnough,
    Surest,
    TellingPairs,
    Unrepetitive,
)
from dilm.coresets.raced import Race, Raced
from dilm.evaluation.trials import Trial
from dilm.models.mixture import AnyGenerator
from dilm.protocols import Selector
from dilm.recipe import Recipe
from dilm.recipe.filters import asks_teacher, filtering
from dilm.recipe.learners import SAME
from dilm.recipe.selection import Select
from dilm.runtime.progress import bar
from dilm.runtime.seeding import python_stream
from dilm.schedules import trial_schedule
from dilm.stages.fitting import require_clusters
from dilm.stages.grading import nll_of
from dilm.stages.jobs import Job, run_all
from dilm.stages.students import enrol
from dilm.types import Dataset, Task

RACED = "raced"
"""The method that trains the learner to choose."""


@dataclass
class Told:
    """What selectors tell of their way to the sets of one method, set by set."""

    filters: list[dict[str, Any]] = field(default_factory=list)
    races: list[dict[str, Any]] = field(default_factory=list)


def races(recipe: Recipe) -> bool:
    """Whether any set is raced for."""
    return RACED in (recipe.select.method, *recipe.evaluate.baselines)


def asks_learner(wanted: Select) -> bool:
    """Whether filters ask the learner, who must be taught for that."""
    return wanted.teacher == "learner" and asks_teacher(wanted.filters)


def selector(
    bench: Bench, method: str, told: Told, generator: AnyGenerator | None = None
) -> Selector | Distinct | Filtered:
    """By name; the recipe's own method with its filters and without near-duplicates, from real rows too."""
    select, wanted = undoubled(bench, method, _plain(bench, method, told, generator)), bench.recipe.select
    if method != wanted.method or not wanted.filters:
        return select
    named = {text: _filter(bench, text) for text in wanted.filters}
    return Filtered(named, select, lambda tallies: told.filters.append(_counted(tallies, bench.task)))


def undoubled(bench: Bench, method: str, select: Selector) -> Selector | Distinct:
    """Without near-duplicates, where it is the recipe's own method and they are unwanted."""
    wanted = bench.recipe.select
    if method != wanted.method or wanted.duplicates == 1:
        return select
    return Distinct(bench.encoder, select, wanted.duplicates)


def _plain(bench: Bench, method: str, told: Told, generator: AnyGenerator | None) -> Selector:
    if method != RACED:
        return bench.selector(method, generator)
    wanted = bench.recipe.race
    draws = [bench.selector(name) for name in wanted.drawn_by]

    def finish(race: Race) -> None:
        told.races.append(_summary(race))

    return Raced(draws, lambda asked: _scores(bench, asked), wanted.candidates, wanted.seeds, finish)


def _filter(bench: Bench, text: str) -> Filter:
    wanted = filtering(text)
    teacher = bench.teacher(bench.recipe.select.teacher)
    made: dict[str, Filter] = {
        "agree": Agreeing(teacher),
        "margin": Agreeing(teacher, wanted.number),
        "sure": Surest(teacher, wanted.number),
        "words": LongEnough(int(wanted.number)),
        "repetition": Unrepetitive(wanted.number),
        "pairs": TellingPairs(),
        "fluency": Fluent(lambda rows: nll_of(bench.judge, rows), wanted.number),
        "answer": Answering(),
        "covered": Covered(lambda rows: require_clusters(bench.task, bench.clusters).distances(rows)),
    }
    return made[wanted.name]


def _scores(bench: Bench, asked: Sequence[tuple[Dataset, int]]) -> list[float]:
    """Short fine-tunings of the learner of distillation, scored on dev rows; known ones are not trained again."""
    job = _training(bench)
    jobs = [job(rows, seed) for rows, seed in asked]
    missing = {job.trial.key: job for job in jobs}
    found: dict[str, float] = {}
    with bar("race", len(missing)) as advance:
        for job, score in run_all(bench, list(missing.values())):
            found[job.trial.key] = score.value
            advance(1, dev_score=score.value)
    return [found[job.trial.key] for job in jobs]


def _training(bench: Bench) -> Callable[[Dataset, int], Job]:
    """(rows, seed) -> the training of the learner of distillation on these rows."""
    recipe, who = bench.recipe, enrol(bench, SAME)
    schedule, dev = replace(trial_schedule(recipe), steps=recipe.race.steps), raced_on(bench)

    def job(rows: Dataset, seed: int) -> Job:
        same: dict[str, Any] = {"schedule": schedule, "batch": recipe.evaluate.batch, "identity": who.identity}
        return Job(Trial(RACED, who.name, recipe.per_class, 0, seed, rows, dev, **same), who, recipe.runtime)

    return job


def raced_on(bench: Bench) -> Dataset:
    """The dev rows that races look at, the same in all of them."""
    return bench.splits.dev.sample(bench.recipe.race.rows, python_stream(bench.recipe.seed, "race", "dev"))


def _counted(tallies: Sequence[Tally], task: Task) -> dict[str, Any]:
    """Filter to class to rows, both of those removed and of those that it had to leave."""
    return {
        tally.filter: {
            "removed": dict(zip(task.labels, tally.removed, strict=True)),
            "yielded": dict(zip(task.labels, tally.yielded, strict=True)),
        }
        for tally in tallies
    }


def _summary(race: Race) -> dict[str, Any]:
    """How the winner was found, what it is worth, and how much sets and seeds differ in dev scores."""
    told: dict[str, Any] = {"rounds": race.rounds, "trainings": len(race.scores)}
    if race.effects is None:
        return told
    spread = {name: asdict(race.effects)[name] for name in ("sets", "seeds", "rest")}
    own = [value for (number, _), value in race.scores.items() if number == race.winner]
    place = race.effects.names.index(race.winner)
    return told | {
        "mean": sum(own) / len(own),
        "worth": float(race.effects.means[place]),
        "error": float(race.effects.errors[place]),
        "sd": spread,
    }
