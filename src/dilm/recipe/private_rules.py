"""With differential privacy on: every touch of real data on the road to the product has a mechanism or is refused.

Real rows are touched in five places: fit, the target gradient, the learner's own training, selection, and dev scores
that choose. The first two have mechanisms; the others must do without real rows. What only measures the product for
its owner (baselines, scores, the report's figures) is no part of it, and no part of the guarantee.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dilm.data.tasks import task_names
from dilm.errors import PrivacyError, RecipeError
from dilm.recipe import Recipe
from dilm.recipe.filters import asks_judge, asks_teacher
from dilm.recipe.learners import learning
from dilm.recipe.matched import matched
from dilm.recipe.privacy import OFF

MECHANISMS = {
    "fit": "DP-SGD: Poisson-sampled rows, per-row clipping, Gaussian noise on the sum",
    "target": "Gaussian noise on the sum of clipped gradients, once per state of the learner",
}
"""Touches that are allowed, and what makes them so."""

ASKING = ("validated", "raced", "el2n", "distribution_matching", "gradient_matching", "perplexity", "cynical")
"""Methods that train learners on real rows, or compare with these, to choose."""
MOST_CLIENTS = 64
"""Data holders of which the number of rows is still added up exactly."""


@dataclass(frozen=True)
class Touch:
    """A touch without a mechanism."""

    what: str
    asked: Callable[[Recipe], bool]
    """Whether a recipe asks for it."""
    instead: str
    """The setting to change."""


def _matches(recipe: Recipe) -> bool:
    return recipe.match.steps > 0


def _drops(recipe: Recipe) -> bool:
    return recipe.adapters.rank > 0 and recipe.adapters.dropout > 0


def _makes_models(recipe: Recipe) -> bool:
    named = (learning(name).model for name in recipe.evaluate.learners)
    names = (recipe.models.generator, *recipe.models.mixture, *_learners(recipe), recipe.models.encoder, *named)
    return any(name.partition(":")[0] == "scratch" for name in names)


def _learners(recipe: Recipe) -> tuple[str, ...]:
    return recipe.models.learner, *matched(recipe)


REFUSED = {
    "pretrain": Touch(
        "a model from scratch reads the data's own texts",
        lambda recipe: _makes_models(recipe) and not recipe.pretrain.corpus,
        "name public models (models.generator, models.learner), or public text in pretrain.corpus",
    ),
    "corpus": Touch(
        "the generator reads the corpus without any mechanism",
        lambda recipe: bool(recipe.corpus.source) and not recipe.corpus.public,
        "set corpus.public=true where anybody may know what stands in it, or leave corpus.source out",
    ),
    "length": Touch(
        "the longest text is estimated from the rows",
        lambda recipe: not recipe.models.max_tokens and recipe.data.source not in task_names(),
        "set models.max_tokens",
    ),
    "packed": Touch(
        "how many texts share an example is told by the length of the rows",
        lambda recipe: not recipe.select.packed,
        "set select.packed to 1 or more",
    ),
    "anonymize": Touch(
        "anonymization lets one row decide what happens to others",
        lambda recipe: recipe.anonymize.operator != OFF,
        "write a clean file with `dilm anonymize` first, and distil that",
    ),
    "classes": Touch(
        "without the vocabulary's weights the classes' tokens can only learn from their names",
        lambda recipe: recipe.dp.trains == "body" and not recipe.fit.name_classes,
        "set fit.name_classes=true or dp.trains=all",
    ),
    "mixture": Touch(
        "the weights of a mixture are taken from dev rows",
        lambda recipe: bool(recipe.models.mixture),
        "leave models.mixture out",
    ),
    "demonstrations": Touch(
        "real rows are shown in the generator's prompt",
        lambda recipe: bool(recipe.instruct.ask) and recipe.instruct.demonstrations > 0,
        "set instruct.demonstrations=0",
    ),
    "marks": Touch(
        "beside adapters, tokens of the classes learn without a gradient for each row",
        lambda recipe: recipe.adapters.rank > 0 and recipe.dp.trains == "all",
        "set dp.trains=body",
    ),
    "dora": Touch(
        "the lengths that DoRA learns have no gradient for each row",
        lambda recipe: recipe.adapters.rank > 0 and recipe.adapters.kind == "dora",
        "set adapters.kind=lora",
    ),
    "regularisation": Touch(
        "DP-SGD reads row by row, without dropout and with plain targets",
        lambda recipe: recipe.fit.dropout > 0 or recipe.fit.label_smoothing > 0 or _drops(recipe),
        "set fit.dropout=-1, adapters.dropout=0 and fit.label_smoothing=0",
    ),
    "teachers": Touch(
        "teacher sets are chosen from real rows by k-means",
        lambda recipe: _matches(recipe) and recipe.match.teacher_sets > 0,
        "set match.teacher_sets=0",
    ),
    "life": Touch(
        "the learner grows up on real rows",
        lambda recipe: _matches(recipe) and recipe.match.ages > 1 and recipe.dp.trajectory == "none",
        "set match.ages=1, or dp.trajectory=synthetic",
    ),
    "renewal": Touch(
        "every new state of the learner takes a release of its own",
        lambda recipe: _matches(recipe) and (recipe.match.trajectory == "fresh" or recipe.match.renew_every > 0),
        "set match.trajectory=cached and match.renew_every=0",
    ),
    "part": Touch(
        "only the head's gradient is clipped row by row",
        lambda recipe: _matches(recipe) and recipe.match.gradient != "head",
        "set match.gradient=head",
    ),
    "learners": Touch(
        "the target is released for the states of one learner",
        lambda recipe: _matches(recipe) and bool(recipe.match.learners),
        "leave match.learners out",
    ),
    "share": Touch(
        "matching has no share of the budget",
        lambda recipe: _matches(recipe) and recipe.dp.epsilon > 0 and recipe.dp.target == 0,
        "set dp.target above 0, or match.steps=0",
    ),
    "fluency": Touch(
        "the likelihood of real text is trained on beside the mismatch",
        lambda recipe: _matches(recipe) and recipe.match.lm_lambda > 0,
        "set match.lm_lambda=0",
    ),
    "reward": Touch(
        "rewards are scored on train rows",
        lambda recipe: _matches(recipe) and recipe.match.reward > 0,
        "set match.reward=0",
    ),
    "checkpoint": Touch(
        "dev scores choose the checkpoint",
        lambda recipe: _matches(recipe) and recipe.match.check_every > 0,
        "set match.check_every=0",
    ),
    "selection": Touch(
        "the choice of the set asks real rows",
        lambda recipe: recipe.select.method in ASKING,
        "choose another select.method, such as typical",
    ),
    "teacher": Touch(
        "a filter's teacher is trained on real rows",
        lambda recipe: recipe.select.teacher == "learner" and asks_teacher(recipe.select.filters),
        "set select.teacher=probe",
    ),
    "judge": Touch(
        "the filter `fluency` asks a learner that is trained on real rows",
        lambda recipe: asks_judge(recipe.select.filters) and not recipe.generation.judge,
        "name a public language model in generation.judge",
    ),
    "pool": Touch(
        "real rows are put into the product",
        lambda recipe: recipe.select.pool == "both",
        "set select.pool=synthetic",
    ),
}
"""Touches without a mechanism, by name."""


def check_private(recipe: Recipe) -> None:
    """Raise PrivacyError that names every touch without a mechanism, and for each the setting to change."""
    found = [touch for touch in REFUSED.values() if recipe.closed and touch.asked(recipe)]
    if found:
        listed = "; ".join(f"({place}) {touch.what}" for place, touch in enumerate(found, 1))
        remedies = "; ".join(f"({place}) {touch.instead}" for place, touch in enumerate(found, 1))
        why = "dp.epsilon" if recipe.dp.epsilon else "federation.clients"
        raise PrivacyError(
            f"With {why} every touch of real data takes a mechanism, and these have none: {listed}.",
            f"To mend it: {remedies}. Or set {why}=0.",
        )
    _check_federation(recipe)


def _check_federation(recipe: Recipe) -> None:
    wanted = recipe.federation
    if not wanted.clients:
        return
    if not 3 <= wanted.clients <= MOST_CLIENTS:
        raise RecipeError(
            f"federation.clients should be 3 to {MOST_CLIENTS}, found {wanted.clients}.",
            "Of two, each takes its own sum away and sees the other's.",
        )
    if wanted.least and not 2 <= wanted.least <= wanted.clients:
        raise RecipeError(
            f"federation.least should be 2 to {wanted.clients}, found {wanted.least}.", "Leave it out for two thirds."
        )
    if recipe.data.user:
        raise RecipeError(
            "data.user names a column of the server's own rows: whose the holders' rows are is not known here.",
            "Leave it out, and let holders join with one row of each user.",
        )
    for name, wished in (("adapters.rank", recipe.adapters.rank), ("instruct.ask", recipe.instruct.ask)):
        if wished:
            raise RecipeError(
                f"{name} changes how a generator is opened, and holders are sent those that are trained as a whole.",
                f"Leave {name} out.",
            )
    if recipe.audit.canaries:
        raise RecipeError("audit.canaries puts rows among the holders' rows, which are not here.", "Set it to 0.")
    if recipe.dp.noise == "secure" and wanted.noise == "distributed":
        raise RecipeError("dp.noise=secure is the server's noise.", "Use federation.noise=central, or dp.noise=keyed.")


def require_mechanism(recipe: Recipe, touch: str) -> None:
    """Raise PrivacyError where privacy is on and a touch is none of `MECHANISMS`: the same law, where rows are read."""
    if recipe.closed and touch not in MECHANISMS:
        known = REFUSED[touch]
        raise PrivacyError(f"Privacy is on, and {known.what}.", f"To mend it: {known.instead}.")
