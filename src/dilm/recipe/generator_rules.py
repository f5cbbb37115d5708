"""What a recipe's generators must keep: settings of adapters and prompts that fit together."""

from __future__ import annotations

from collections.abc import Mapping

from dilm.errors import RecipeError
from dilm.recipe import Recipe
from dilm.recipe.privacy import OFF


def check_generators(recipe: Recipe) -> None:
    """Raise RecipeError where what is asked of the generators cannot be meant."""
    _check_adapters(recipe)
    _check_steps(recipe)
    _check_corpus(recipe)
    _check_sampler(recipe)
    _check_split(recipe)


def learns(recipe: Recipe) -> bool:
    """Whether generators are trained at all."""
    return recipe.fit.steps != 0 or recipe.match.steps > 0


def _check_steps(recipe: Recipe) -> None:
    if not recipe.fit.steps and not recipe.instruct.ask:
        raise RecipeError(
            "fit.steps should be at least 1, found 0: a generator would not know what the tokens of its classes mean.",
            "Set fit.steps above 0, or tell a chat model in words what to write (instruct.ask).",
        )
    if recipe.adapters.rank and not learns(recipe):
        raise RecipeError("adapters.rank asks for adapters, and nothing is trained.", "Set adapters.rank=0.")


def _check_adapters(recipe: Recipe) -> None:
    wanted = recipe.adapters
    if wanted.base != "fp32" and not wanted.rank and learns(recipe):
        raise RecipeError(
            f"adapters.base={wanted.base} holds weights that cannot be trained, and adapters.rank is 0.",
            "Set adapters.rank (8, say), or adapters.base=fp32.",
        )
    if wanted.rank and not wanted.targets:
        raise RecipeError("adapters.targets is empty, so nothing would get an adapter.", "Write `all-linear`.")


def _check_corpus(recipe: Recipe) -> None:
    """Unlabelled text is read by one generator, that has tokens for its classes and is trained."""
    others = {
        "models.mixture": bool(recipe.models.mixture),
        "instruct.ask": bool(recipe.instruct.ask),
        "fit.steps=0": not recipe.fit.steps,
    }
    if recipe.corpus.source and (named := _first_asked(others)):
        raise RecipeError(f"corpus.source is not read with {named}.", "Leave one of them out.")
    if recipe.anonymize.operator != OFF and recipe.corpus.source and not recipe.corpus.public:
        raise RecipeError(
            "anonymize.operator replaces personal data in the rows, and nobody looked at corpus.source.",
            "Write a clean file with `dilm anonymize` first, and name that with corpus.public=true.",
        )


def _first_asked(settings: Mapping[str, bool]) -> str:
    """The first of these settings that is in use, or nothing."""
    return next((name for name, asked in settings.items() if asked), "")


def _check_sampler(recipe: Recipe) -> None:
    """vLLM reads whole weights from files, which those in few bits are not."""
    if recipe.generate.sampler == "vllm" and recipe.adapters.base in ("8bit", "4bit"):
        raise RecipeError(
            f"generate.sampler=vllm cannot read weights that are held in {recipe.adapters.base}.",
            "Use adapters.base=bf16, or generate.sampler=torch.",
        )


def _check_split(recipe: Recipe) -> None:
    """Weights are split of one generator that learns as a whole, from rows that are read many at a time."""
    others = {
        "models.mixture": bool(recipe.models.mixture),
        "adapters.rank": bool(recipe.adapters.rank),
        "corpus.source": bool(recipe.corpus.source),
        "dp.epsilon": recipe.dp.epsilon > 0,
        "federation.clients": recipe.federation.clients > 0,
    }
    if recipe.runtime.fsdp and (named := _first_asked(others)):
        raise RecipeError(
            f"runtime.fsdp splits the weights of one generator that is trained as a whole, and {named} is set.",
            "Leave one of them out.",
        )
