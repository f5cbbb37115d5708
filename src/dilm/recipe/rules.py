"""What a valid recipe must keep: ranges, known names, and settings that must not contradict each other."""

from __future__ import annotations

import math
import re
from typing import Any

from dilm.errors import RecipeError, did_you_mean
from dilm.recipe import Recipe
from dilm.recipe.baselines import PACKED, with_amounts
from dilm.recipe.fields import flatten
from dilm.recipe.filters import filtering
from dilm.recipe.generator_rules import check_generators
from dilm.recipe.learners import learning
from dilm.recipe.matched import check_matched
from dilm.recipe.privacy import OFF
from dilm.recipe.private_rules import check_private
from dilm.recipe.ranges import RANGES
from dilm.recipe.rewriting_rules import check_rewriting

BY_POINTS = ("random", "kmeans_nearest", "farthest_first", "herding", "typical", "moderate", "facility_location")
"""Selectors that train no learner, ask no generator, and know of real rows a probe at most."""
BY_REAL_ROWS = ("distribution_matching", "gradient_matching", "el2n", "validated")
SELECTORS = (*BY_POINTS, *BY_REAL_ROWS, "likeliest", "raced", "perplexity", "cynical")
SIZES = ("tiny", "mini", "small", "base")
CHOICES: dict[str, tuple[str, ...]] = {
    "anonymize.operator": ("none", "replace", "mask", "hash", "pseudonym"),
    "adapters.kind": ("lora", "dora"),
    "adapters.base": ("fp32", "bf16", "8bit", "4bit"),
    "dp.accountant": ("prv", "rdp"),
    "dp.trajectory": ("none", "synthetic"),
    "dp.trains": ("all", "body"),
    "dp.noise": ("keyed", "secure"),
    "pretrain.learner_size": SIZES,
    "fit.mean_over": ("tokens", "texts"),
    "generate.sampler": ("torch", "vllm"),
    "match.likelihood": ("token", "sum", "padded"),
    "match.road": ("fast", "autograd"),
    "match.trajectory": ("cached", "fresh"),
    "match.check_select": (*BY_POINTS, "distribution_matching"),
    "select.method": SELECTORS,
    "corpus.unit": ("text", "sentence"),
    "select.teacher": ("probe", "learner"),
    "select.pool": ("synthetic", "both"),
    "rewrite.ask": ("rewrite", "merge", "both"),
    "rewrite.best": BY_POINTS,
    "race.drawn_by": (*BY_POINTS, *BY_REAL_ROWS, "cynical"),  # no generator, and no race of races
    "evaluate.baselines": (*with_amounts(SELECTORS), "nearest", "untuned", "untuned_random", "full", "tdd", "tdd_text"),
    "embed.start": ("texts", "tokens"),
    "embed.labels": ("soft", "hard"),
    "embed.trains": ("all", "head"),
    "embed.attention": ("none", "cls", "all"),
    "audit.held_out": ("dev", "test", "both"),
    "federation.noise": ("central", "distributed"),
    "runtime.precision": ("auto", "fp32", "bf16"),
    "runtime.engine": ("processes", "ray"),
    "runtime.readers": ("owner", "group"),
}
PRIVATE = ("dp", "anonymize")
"""Sections that wish for privacy, as far as there are any."""
PARTS = r"head|all|last:\d+|lora|lora:[1-9]\d*"
"""Whose gradient can be matched."""


def check(recipe: Recipe) -> None:
    """Raise RecipeError, naming setting, range and value, where the recipe cannot be meant."""
    check_each(flatten(recipe))
    _check_part(recipe)
    _check_scratch(recipe)
    _check_lists(recipe)
    _check_filters(recipe)
    _check_real_rows(recipe)
    _check_packed(recipe)
    _check_canaries(recipe)
    _check_robust(recipe)
    _check_rhythm(recipe)
    _check_embeddings(recipe)
    _check_server(recipe)
    check_rewriting(recipe)
    _check_anonymize(recipe)
    check_matched(recipe)
    check_generators(recipe)
    check_private(recipe)


def check_each(values: dict[str, Any]) -> None:
    """The same of each value by itself, whatever the others are: dotted name to value."""
    _check_ranges(values)
    _check_choices(values)


def _check_ranges(values: dict[str, Any]) -> None:
    for rule in RANGES:
        for name in rule.settings.split():
            if not (math.isfinite(values[name]) and rule.holds(values[name])):
                raise RecipeError(f"{name} should be {rule.wanted}, found {values[name]}.", "Change that setting.")


def _check_choices(values: dict[str, Any]) -> None:
    for name, known in CHOICES.items():
        for value in values[name] if isinstance(values[name], tuple) else (values[name],):
            if value not in known:
                remedy = did_you_mean(value, known, "Known")
                raise RecipeError(f"{name} does not know {value!r}.", remedy)


def _check_part(recipe: Recipe) -> None:
    wanted = recipe.match.gradient
    if not re.fullmatch(PARTS, wanted):
        raise RecipeError(
            f"match.gradient does not know {wanted!r}.",
            "Write `head`, `all`, `last:N` for the last N blocks, or `lora:R` for adapters of rank R.",
        )
    if recipe.match.centred and wanted != "head":
        raise RecipeError(
            f"match.centred is about the head's gradient, and match.gradient is {wanted!r}.",
            "Use `match.gradient=head`, or leave it off.",
        )


def _check_scratch(recipe: Recipe) -> None:
    """A generator from scratch names its size; a learner's size stands in `pretrain`."""
    generators = [f"scratch:{size}" for size in SIZES]
    for wanted in (recipe.models.generator, *recipe.models.mixture):
        if wanted.split(":")[0] == "scratch" and wanted not in generators:
            where = "models.generator" if wanted == recipe.models.generator else "models.mixture"
            raise RecipeError(f"{where} does not know {wanted!r}.", f"Write one of {', '.join(generators)}.")
    named = [learning(name).model for name in recipe.evaluate.learners]
    for name in (recipe.models.learner, recipe.models.encoder, *named):
        if name.startswith("scratch:"):
            raise RecipeError(
                f"{name!r} cannot be a learner.", "Write `scratch`, and its size in pretrain.learner_size."
            )


def _check_lists(recipe: Recipe) -> None:
    if not recipe.evaluate.learners:
        raise RecipeError("evaluate.learners is empty, so nothing could be scored.", "Write at least `same`.")
    if recipe.data.label and recipe.data.label in recipe.data.text:
        raise RecipeError(f"Column {recipe.data.label!r} is both text and label.", "Take it out of one of them.")
    lists = {"data.text": recipe.data.text, "evaluate.learners": recipe.evaluate.learners}
    lists |= {"evaluate.baselines": recipe.evaluate.baselines, "race.drawn_by": recipe.race.drawn_by}
    for name, items in {**lists, "select.filters": recipe.select.filters}.items():
        twice = next((item for item in items if items.count(item) > 1), None)
        if twice is not None:
            raise RecipeError(f"{name} names {twice!r} twice.", "Name it once.")


def _check_filters(recipe: Recipe) -> None:
    for text in recipe.select.filters:
        filtering(text)
    if not recipe.race.drawn_by:
        raise RecipeError("race.drawn_by is empty, so no set could be raced.", "Write at least `typical`.")


def _check_real_rows(recipe: Recipe) -> None:
    """Real rows in the product undo whatever privacy is wished for."""
    wishes = [name for name in PRIVATE if getattr(recipe, name, None) != getattr(Recipe(), name, None)]
    if recipe.select.pool == "both" and wishes:
        raise RecipeError(
            f"select.pool=both puts real rows into the product, and `{wishes[0]}` wishes for privacy.",
            "Set select.pool to synthetic, or leave that section out.",
        )


def _check_packed(recipe: Recipe) -> None:
    """There must be texts enough to share examples, and somebody to be packed alike with."""
    texts, written = recipe.select.packed, recipe.generate.oversample
    if texts > written:
        raise RecipeError(
            f"select.packed puts {texts} texts into an example, and generate.oversample writes {written} for each.",
            "Lower select.packed, or write more.",
        )
    named = {recipe.select.method, *recipe.evaluate.baselines} & {"raced", "nearest"}
    one_by_one = sorted(named | ({"evaluate.robust"} if recipe.evaluate.robust else set()))
    if one_by_one and texts != 1:
        raise RecipeError(
            f"`{one_by_one[0]}` takes every text for an example, and select.packed={texts} puts several into one.",
            "Set select.packed=1, or leave that out.",
        )
    alike = [name for name in recipe.evaluate.baselines if name.endswith(PACKED)]
    if alike and texts == 1:
        raise RecipeError(
            f"evaluate.baselines names `{alike[0]}`, and our own examples hold one text each (select.packed=1).",
            f"Write `{alike[0].removesuffix(PACKED)}`, or set select.packed above 1.",
        )


def _check_canaries(recipe: Recipe) -> None:
    """A canary is no row that anyone should be given as a real one."""
    if recipe.audit.canaries and recipe.select.pool == "both":
        raise RecipeError(
            "select.pool=both puts real rows into the product, and audit.canaries puts made-up ones among the real.",
            "Set select.pool to synthetic, or audit.canaries to 0.",
        )


def _check_robust(recipe: Recipe) -> None:
    """Its scores are differences to random rows and to full data."""
    missing = [name for name in ("random", "full") if name not in recipe.evaluate.baselines]
    if recipe.evaluate.robust and missing:
        raise RecipeError(
            f"evaluate.robust compares with baselines that are not measured: {', '.join(missing)}.",
            "Add them to evaluate.baselines.",
        )


def _check_rhythm(recipe: Recipe) -> None:
    """A dev score is taken where proposals are refreshed, so that a resumed run meets both at the same step."""
    every, refresh = recipe.match.check_every, recipe.match.refresh_every
    if every % refresh:
        lower, higher = every // refresh * refresh, (every // refresh + 1) * refresh
        fitting = " or ".join(str(number) for number in (lower, higher) if number)
        raise RecipeError(
            f"match.check_every ({every}) should be a multiple of match.refresh_every ({refresh}).",
            f"Set it to {fitting}, or to 0 to keep the last step.",
        )
    if recipe.match.patience and not every:
        raise RecipeError(
            "match.patience waits for dev scores, and match.check_every asks for none.",
            "Set match.check_every above 0, or match.patience to 0.",
        )


def _check_embeddings(recipe: Recipe) -> None:
    """Every learnt row must be read at least once in the training that it is learnt for."""
    wanted, baselines = recipe.embed, recipe.evaluate.baselines
    if "tdd" in baselines and not {"same", recipe.models.learner} & set(recipe.evaluate.learners):
        raise RecipeError(
            "evaluate.baselines names `tdd`, which only the learner of distillation can read.",
            "Add `same` to evaluate.learners, or take `tdd_text`.",
        )
    reached = wanted.unroll * wanted.per_step
    if reached < recipe.per_class and not {"tdd", "tdd_text"}.isdisjoint(baselines):
        raise RecipeError(
            f"embed.unroll ({wanted.unroll}) times embed.per_step ({wanted.per_step}) reaches {reached} of "
            f"{recipe.per_class} embeddings per class.",
            f"Set embed.per_step to {-(-recipe.per_class // wanted.unroll)}.",
        )


def _check_server(recipe: Recipe) -> None:
    """What stands there by mistake may be the key, so it is not repeated."""
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", recipe.server.key_variable):
        raise RecipeError(
            "server.key_variable should be the name of an environment variable: capital letters, digits and `_`.",
            "Put the key into that variable, and only its name here, such as DILM_API_KEY.",
        )


def _check_anonymize(recipe: Recipe) -> None:
    wanted = recipe.anonymize
    if wanted.operator == OFF and (named := [each for each in ("patterns", "ner", "kinds") if getattr(wanted, each)]):
        raise RecipeError(
            f"anonymize.{named[0]} says what to look for, and anonymize.operator=none that nothing is.",
            f"Name an operator such as `replace`, or leave that out (`--set anonymize.{named[0]}=`).",
        )
    if wanted.operator != OFF and not (wanted.languages or wanted.ner or wanted.patterns):
        raise RecipeError(
            "anonymize.operator asks for anonymization, but no detector is left to run.",
            "Name languages for Presidio, a model in anonymize.ner, or rules in anonymize.patterns.",
        )
