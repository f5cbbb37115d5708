"""Whether a recipe's settings fit the task, of which the recipe alone does not know the kind: asked when rows are read,
not when all texts are written."""

from __future__ import annotations

from collections.abc import Iterator

from dilm.coresets.filters import require_answers, require_pairs
from dilm.errors import DilmError, PrivacyError, RecipeError
from dilm.recipe import Recipe
from dilm.recipe_filters import asks_teacher, filtering
from dilm.recipe_generation import TOKENS
from dilm.recipe_learners import learning
from dilm.types import Task

CLASSES_ONLY = ("validated", "raced", "tdd", "tdd_text")
"""Methods that need classes to be told apart, or texts as embeddings."""
UNTRAINED = ("frozen", "tfidf", "served", "served-chat")
"""Ways to learn that end in a class."""


def require_fitting(recipe: Recipe, task: Task) -> None:
    """Raise RecipeError or PrivacyError for the first setting that cannot be meant for this task."""
    faults = _of_generation(recipe) if task.writes else _of_classification(recipe, task)
    if fault := next(faults, None):
        raise fault
    named = {filtering(text).name for text in recipe.select.filters}
    if "pairs" in named:
        require_pairs(task)
    if "answer" in named:
        require_answers(task)


def _of_classification(recipe: Recipe, task: Task) -> Iterator[DilmError]:
    methods = (recipe.select.method, *recipe.evaluate.baselines, *recipe.race.drawn_by)
    for name in methods:
        if name.endswith(TOKENS) or name == "perplexity":
            yield RecipeError(f"`{name}` is for tasks whose target is text, and {task.name} has classes.", _OUT)
    wanted = recipe.generation
    asked = {"generation.coherence": wanted.coherence, "generation.diversity": wanted.diversity}
    asked["select.filters=fluency"] = any(filtering(text).name == "fluency" for text in recipe.select.filters)
    for name, value in asked.items():
        if value:
            yield RecipeError(f"{name} is for tasks whose target is text, and {task.name} has classes.", _OUT)


_OUT = "Leave it out, or name a target with --target."


def _of_generation(recipe: Recipe) -> Iterator[DilmError]:
    if recipe.closed:
        yield PrivacyError(
            "Differential privacy and federation cover tasks with classes only: conditions are clusters of real rows, "
            "and the gradients of a language model are not clipped row by row.",
            "Set dp.epsilon=0 and federation.clients=0, or distil a task with classes.",
        )
    for name in (recipe.select.method, *recipe.evaluate.baselines):
        if name.removesuffix(TOKENS) in CLASSES_ONLY:
            yield RecipeError(f"`{name}` needs classes, and the target of this task is text.", "Leave it out.")
    for name in recipe.evaluate.learners:
        way = learning(name)
        if way.way in UNTRAINED or way.layers:
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
    for name, asked in unfit.items():
        if asked:
            yield RecipeError(f"{name} needs classes, and the target of this task is text.", "Leave it out.")
