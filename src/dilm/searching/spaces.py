"""What a search may change, and how far: `space.yaml`, checked against the recipe before anything runs.

match.lr: {low: 1.0e-5, high: 1.0e-3, log: true}
fit.steps: {low: 100, high: 800, step: 100}
select.method: {choices: [typical, kmeans_nearest]}
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

import yaml

from dilm.errors import RecipeError, did_you_mean
from dilm.recipe import Recipe
from dilm.recipe.book import override
from dilm.recipe.fields import flatten, leaves, suggest
from dilm.recipe.rules import check_each

if TYPE_CHECKING:
    from optuna.trial import Trial

FORMS = "Write {low, high}, with `log: true` or a `step` where wanted, or {choices: [...]}."
KEYS = ("low", "high", "log", "step", "choices")
Number = int | float

YARDSTICK = (
    *("seed", "per_class", "data", "models.max_tokens", "select.sets", "select.packed", "race.rows"),
    *("prompt", "report"),
    *("evaluate.learners", "evaluate.baselines", "evaluate.seeds", "evaluate.robust", "evaluate.calibrate"),
    *("generation.conditions", "generation.answers"),
    *("anonymize", "dp", "audit", "server", "runtime"),
)
"""Settings and sections that say what is measured, on what, or under which privacy: scores under two values of them
do not compare, or they change none."""


@dataclass(frozen=True)
class Dimension:
    """One setting and the values that it may take: from `low` to `high`, or `choices`."""

    name: str
    low: Number = 0
    high: Number = 0
    log: bool = False
    step: Number | None = None
    choices: tuple[Any, ...] = ()

    def suggested(self, trial: Trial) -> Any:
        """A value for this trial, as Optuna's sampler draws it."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if _kind(self.name) is int:
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    @property
    def plain(self) -> dict[str, Any]:
        """As it stands in a file."""
        if self.choices:
            return {"choices": list(self.choices)}
        more = {"log": True} if self.log else {"step": self.step} if self.step else {}
        return {"low": self.low, "high": self.high, **more}

    @property
    def tried(self) -> tuple[Any, ...]:
        """Values that must all be allowed."""
        return self.choices or (self.low, self.high)


@dataclass(frozen=True)
class Space:
    """Everything that a search may change."""

    dimensions: tuple[Dimension, ...]

    def suggested(self, trial: Trial) -> dict[str, Any]:
        """Settings for this trial."""
        return {each.name: each.suggested(trial) for each in self.dimensions}

    @property
    def plain(self) -> dict[str, Any]:
        """As it stands in a file."""
        return {each.name: each.plain for each in self.dimensions}


def read(path: str | Path, recipe: Recipe) -> Space:
    """The space in a YAML file, every end and choice of which the recipe allows by itself.

    Raises RecipeError for a file that is none, an unknown or unsearchable setting, and values it cannot have.
    """
    file = Path(path).expanduser()
    try:
        tree = yaml.safe_load(file.read_text("utf-8"))
    except OSError as fault:
        raise RecipeError(f"There is no space {str(path)!r}.", "Name a YAML file of settings to search.") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise RecipeError(f"{file.name} is not readable YAML: {' '.join(str(fault).split())}.", FORMS) from fault
    return of(tree, recipe)


def of(tree: Any, recipe: Recipe) -> Space:
    """The same from plain values: setting to range or choices, sections dotted or nested."""
    if not isinstance(tree, Mapping) or not tree:
        raise RecipeError(f"A space should hold settings by name, found a {type(tree).__name__}.", FORMS)
    space = Space(tuple(_dimension(name, wanted) for name, wanted in _flat(tree)))
    for dimension in space.dimensions:
        for value in dimension.tried:
            check_each(flatten(override(recipe, {dimension.name: value})))
    return space


def _flat(tree: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names; a section may stand above its settings."""
    for name, wanted in tree.items():
        full = f"{above}{name}"
        section = any(leaf.startswith(f"{full}.") for leaf in leaves())
        if section and isinstance(wanted, Mapping):
            yield from _flat(wanted, f"{full}.")
        else:
            yield full, wanted


def _dimension(name: str, wanted: Any) -> Dimension:
    if name not in leaves():
        raise RecipeError(f"The space names {name!r}, which is not a setting.", suggest(name))
    if fixed := next((each for each in YARDSTICK if f"{name}.".startswith(f"{each}.")), None):
        raise RecipeError(
            f"{name} cannot be searched: `{fixed}` is part of how trials are measured, not of what is tried.",
            "Take it out of the space, and set it in the recipe.",
        )
    if not isinstance(wanted, Mapping):
        raise RecipeError(f"{name} should have a range or choices, found {wanted!r}.", FORMS)
    for word in wanted:
        if word not in KEYS:
            raise RecipeError(f"{name}: {word!r} says nothing here.", did_you_mean(str(word), KEYS, "Known"))
    return _choices(name, wanted) if "choices" in wanted else _range(name, wanted)


def _choices(name: str, wanted: Mapping[str, Any]) -> Dimension:
    """Values of lists are written as on a command line, for Optuna knows no lists."""
    found = wanted["choices"]
    if len(wanted) > 1 or not isinstance(found, list) or len(found) < 2:
        raise RecipeError(f"{name} should have two choices or more and nothing beside them, found {wanted!r}.", FORMS)
    listed = get_origin(leaves()[name].annotation) is tuple
    plain = [",".join(map(str, each)) if listed and isinstance(each, list) else each for each in found]
    if any(not isinstance(each, bool | int | float | str) for each in plain) or len(set(plain)) < len(plain):
        raise RecipeError(f"{name}: choices should be different plain values, found {found!r}.", FORMS)
    return Dimension(name, choices=tuple(plain))


def _range(name: str, wanted: Mapping[str, Any]) -> Dimension:
    kind = _kind(name)
    if kind not in (int, float):
        raise RecipeError(f"{name} is no number, so it has no range.", "Write {choices: [...]} for it.")
    numbers = {word: _number(name, word, wanted[word]) for word in ("low", "high", "step") if word in wanted}
    if not {"low", "high"} <= set(numbers):
        raise RecipeError(f"{name} should have both low and high, found {dict(wanted)!r}.", FORMS)
    low, high, step, log = numbers["low"], numbers["high"], numbers.get("step"), wanted.get("log", False)
    wrong = {
        "low should be below high": low >= high,
        "log should be true or false": not isinstance(log, bool),
        "a logarithmic range begins above 0": log is True and low <= 0,
        "a logarithmic range has no step": log is True and step is not None,
        "step should be above 0 and reach high at most": step is not None and not 0 < step <= high - low,
        "low, high and step should be whole numbers": kind is int
        and any(each != int(each) for each in numbers.values()),
    }
    for problem, found in wrong.items():
        if found:
            raise RecipeError(f"{name}: {problem}, found {dict(wanted)!r}.", "Change that range.")
    return Dimension(name, kind(low), kind(high), bool(log), step if step is None else kind(step))


def _number(name: str, word: str, value: Any) -> Number:
    """Also `1e-5`, which YAML takes for a text."""
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise RecipeError(f"{name}: {word} should be a number, found {value!r}.", "Change that range.")
    return value if isinstance(value, int) else number


def _kind(name: str) -> Any:
    return leaves()[name].annotation
