"""Whether a recipe's settings fit the task, of which the recipe alone does not know the kind, its rows, and the models
that can be had: asked when rows are read, not when all texts are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dilm.coresets.filters import require_answers, require_pairs
from dilm.data.conditions import Clusters
from dilm.errors import DataError, DilmError, PrivacyError, RecipeError
from dilm.numerics.words import split_sentences
from dilm.recipe import Recipe
from dilm.recipe.baselines import TOKENS, chooser, rows_in_one
from dilm.recipe.filters import asks_teacher, filtering
from dilm.recipe.learners import learning
from dilm.recipe.rules import SELECTORS
from dilm.reports.methods import NEAREST
from dilm.runs import Run
from dilm.runtime.processes import launched
from dilm.stages.named_models import require_models
from dilm.types import Dataset, Example, Splits, Task

CLASSES_ONLY = ("validated", "raced", "tdd", "tdd_text")
"""Methods that need classes to be told apart, or texts as embeddings."""
OF_TEXTS = ("fluency", "covered")
"""Filters of tasks whose target is text."""


def require_all(recipe: Recipe, splits: Splits, clusters: Clusters | None) -> None:
    """Raise for what can be known to be amiss once rows are read: a setting, too few rows, a model that is nowhere."""
    require_fitting(recipe, splits.task, clusters)
    require_rows_for_baselines(recipe, dict(zip(splits.task.labels, splits.train.counts, strict=True)))
    require_length(splits.train)
    require_models(recipe)


def require_several(recipe: Recipe) -> None:
    """Raise RecipeError where weights are to be split and nobody is there to split them with."""
    if recipe.runtime.fsdp and not launched():
        raise RecipeError(
            "runtime.fsdp splits the generator's weights among processes, and this run has one.",
            "Start several (`torchrun --nproc-per-node 4 -m dilm ...`), or leave it off.",
        )


def require_before(run: Run, name: str) -> None:
    """The same of a stage under settings that may have changed since `load`, as far as no row is needed to know."""
    if name in ("fit", "match"):
        require_several(run.recipe)
    if run.changed and name != "load":
        require_models(run.recipe)
    if name == "generate":
        require_rows_for_baselines(run.recipe, (run.stage("load").manifest or {})["train_counts"])


def require_fitting(recipe: Recipe, task: Task, clusters: Clusters | None = None) -> None:
    """Raise RecipeError or PrivacyError for the first setting that cannot be meant for this task, whose conditions are
    `clusters` of its rows or none."""
    faults = _of_generation(recipe, clusters) if task.writes else _of_classification(recipe, task)
    if fault := next(faults, None):
        raise fault
    named = {filtering(text).name for text in recipe.select.filters}
    if "pairs" in named:
        require_pairs(task)
    if "answer" in named:
        require_answers(task)
    if "covered" in named:
        require_clusters(task, clusters)


def coresets(recipe: Recipe) -> list[str]:
    """The baselines that are chosen among real rows."""
    return [name for name in recipe.evaluate.baselines if chooser(name) in (*SELECTORS, NEAREST)]


def require_length(train: Dataset) -> None:
    """Raise RecipeError where no row of a class has a sentence with at most as many words as texts may have tokens."""
    longest = train.task.max_tokens
    for label, name in enumerate(train.task.labels):
        rows = train.of(label)
        if rows and all(_least_words(row) > longest for row in rows):
            raise RecipeError(
                f"Texts may have {longest} tokens, and every row of class {name!r} has sentences of "
                f"{min(map(_least_words, rows))} words or more.",
                "Raise models.max_tokens; 0 takes what the rows have.",
            )


def _least_words(row: Example) -> int:
    """Of the shortest sentence in each field, together: the least that a generator could learn of the row."""
    return sum(min((len(part.split()) for part in split_sentences(text)), default=0) for text in row.texts)


def require_rows_for_baselines(recipe: Recipe, counts: Mapping[str, int]) -> None:
    """Raise DataError where a baseline takes more train rows of a class than it has; of equal tokens it does not.

    `counts` are those of the classes by name. How many share an example is left to them where it is 0 in the recipe.
    """
    label = min(counts, key=lambda name: counts[name])
    packed = recipe.select.packed or 1
    taken = {name: recipe.per_class * rows_in_one(name, packed) for name in coresets(recipe)}
    short = [name for name, rows in taken.items() if rows > counts[label] and not name.endswith(TOKENS)]
    if short:
        most = max(counts[label] * recipe.per_class // taken[short[0]], 1)
        raise DataError(
            f"Class {label!r} has {counts[label]} train rows, and the baseline `{short[0]}` takes {taken[short[0]]} of "
            "every class.",
            f"Ask for at most {most} per class, or leave out of evaluate.baselines: {', '.join(short)}.",
        )


def require_clusters(task: Task, clusters: Clusters | None) -> Clusters:
    """The clusters. Raises RecipeError where a column names the conditions."""
    if clusters is None:
        raise RecipeError(
            f"The filter `covered` asks in which cluster of the rows a text lies, and a column names the conditions of "
            f"{task.name}.",
            "Write `agree` in select.filters: it asks a probe which condition is the likeliest.",
        )
    return clusters


def _of_classification(recipe: Recipe, task: Task) -> Iterator[DilmError]:
    methods = (recipe.select.method, *recipe.evaluate.baselines, *recipe.race.drawn_by)
    for name in methods:
        if chooser(name) == "perplexity":
            yield RecipeError(f"`{name}` is for tasks whose target is text, and {task.name} has classes.", _OUT)
    wanted = recipe.generation
    terms = ("coherence", "diversity", "coverage")
    asked: dict[str, Any] = {f"generation.{name}": getattr(wanted, name) for name in terms}
    named = {filtering(text).name for text in recipe.select.filters}
    for name, value in (asked | {f"select.filters={name}": name in named for name in OF_TEXTS}).items():
        if value:
            yield RecipeError(f"{name} is for tasks whose target is text, and {task.name} has classes.", _OUT)


_OUT = "Leave it out, or name a target with --target."


def _of_privacy(recipe: Recipe, clusters: Clusters | None) -> Iterator[DilmError]:
    """What has no mechanism where the target is text: `fit` has one, so that conditions of a column may be written."""
    if recipe.federation.clients:
        yield PrivacyError(
            "Federation covers tasks with classes only, and the target of this task is text: data holders answer with "
            "gradients of a classifier.",
            "Set federation.clients=0, or distil a task with classes.",
        )
    if recipe.dp.epsilon and clusters:
        yield PrivacyError(
            "With dp.epsilon every touch of real data takes a mechanism, and conditions that are clusters of real rows "
            "have none.",
            "Name a column whose values anybody may know (--label), or set dp.epsilon=0.",
        )
    if recipe.dp.epsilon and recipe.match.steps:
        yield PrivacyError(
            "With dp.epsilon only a classifier's gradients are clipped row by row, and this task's target is text.",
            "Set match.steps=0: the generator is fitted under differential privacy and writes; or set dp.epsilon=0.",
        )


def _of_generation(recipe: Recipe, clusters: Clusters | None) -> Iterator[DilmError]:
    yield from _of_privacy(recipe, clusters)
    for name in (recipe.select.method, *recipe.evaluate.baselines):
        if chooser(name) in CLASSES_ONLY:
            yield RecipeError(f"`{name}` needs classes, and the target of this task is text.", "Leave it out.")
    if recipe.select.packed > 1:
        yield RecipeError(
            "select.packed puts several texts into one example, and here an example is a question with its answer.",
            "Set select.packed=1, or distil a task with classes.",
        )
    for name in recipe.evaluate.learners:
        way = learning(name)
        if way.is_linear or way.served or way.layers:
            yield RecipeError(
                f"{name!r} in evaluate.learners cannot write a text.",
                "Name a causal or encoder-decoder language model, `scratch`, or `prompt:NAME`.",
            )
    yield from _of_settings(recipe)


def _of_settings(recipe: Recipe) -> Iterator[DilmError]:
    match, select = recipe.match, recipe.select
    unfit = {
        "data.user": recipe.data.user,
        "evaluate.robust": recipe.evaluate.robust,
        "evaluate.calibrate": recipe.evaluate.calibrate,
        "match.centred": match.centred,
        "match.road=autograd with match.gradient=head": match.road == "autograd" and match.gradient == "head",
        "select.teacher=learner with filters that ask it": select.teacher == "learner" and asks_teacher(select.filters),
    }
    for own, name in (("match.entropy", "generation.diversity"), ("match.coverage", "generation.coverage")):
        if getattr(match, own.removeprefix("match.")):
            yield RecipeError(f"{own} is for tasks with classes, and the target of this task is text.", f"Use {name}.")
    for name, asked in unfit.items():
        if asked:
            yield RecipeError(f"{name} needs classes, and the target of this task is text.", "Leave it out.")
