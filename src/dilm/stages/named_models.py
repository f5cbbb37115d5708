"""Every model that a recipe names: asked for when rows are read, not when it is first needed, maybe hours later."""

from __future__ import annotations

from collections.abc import Iterator

from dilm.errors import ModelError, ResourceError
from dilm.generators import is_scratch, named
from dilm.models.hub import first_layers, open_config
from dilm.recipe import Recipe
from dilm.recipe.learners import SAME, learning
from dilm.recipe.matched import matched
from dilm.recipe.rewriting_rules import asked


def require_models(recipe: Recipe) -> None:
    """Raise ModelError or ResourceError, with the setting's name, for the first that is nowhere or has too few layers.

    Only what describes a model is fetched here.
    """
    for setting, name, layers in pretrained(recipe):
        try:
            first_layers(name, layers) if layers else open_config(name)
        except (ModelError, ResourceError) as fault:
            raise type(fault)(f"{setting}: {fault.problem}", fault.remedy) from fault


def pretrained(recipe: Recipe) -> Iterator[tuple[str, str, int]]:
    """Setting, hub id or folder, and how many first layers, 0 for all: of all that are neither made here nor served."""
    for setting, name, layers in _named(recipe):
        if name and not is_scratch(name):
            yield setting, name, layers


def _named(recipe: Recipe) -> Iterator[tuple[str, str, int]]:
    models, rewriter = recipe.models, recipe.rewrite.model
    yield from (("models.generator", name, 0) for name in named(recipe)[:1])
    yield from (("models.mixture", name, 0) for name in named(recipe)[1:])
    yield "models.learner", models.learner, 0
    yield "models.encoder", models.encoder, 0
    yield from (("match.learners", name, 0) for name in matched(recipe))
    for way in map(learning, recipe.evaluate.learners):
        name = models.learner if way.model == SAME else way.model
        yield "evaluate.learners", "" if way.served else name, way.layers
    yield "rewrite.model", rewriter if rewriter and not asked(rewriter).url else "", 0
    yield "generation.judge", recipe.generation.judge, 0
    yield "report.language_model", recipe.report.language_model, 0
