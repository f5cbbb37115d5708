"""What was asked on the command line: arguments that several verbs share, settings as NAME=VALUE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, signature
from math import isnan, nan
from typing import Any

from dilm.errors import RecipeError


def sharing(described: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give `command(recipe, ...)` the arguments of `described` in the place of its recipe, told once for all verbs."""
    asked = signature(described).parameters

    def share(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def from_arguments(**given: Any) -> None:
            recipe = described(**{name: given.pop(name) for name in asked})
            command(recipe, **given)

        merged = [*asked.values(), *list(signature(command).parameters.values())[1:]]
        plain = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in merged]
        from_arguments.__signature__ = signature(command).replace(parameters=plain)  # type: ignore[attr-defined]
        from_arguments.__annotations__ = {parameter.name: parameter.annotation for parameter in plain}
        return from_arguments

    return share


def columns(options: Sequence[str] | None) -> tuple[str, ...]:
    """`["a,b", "c"]` to `("a", "b", "c")`."""
    return tuple(column for option in options or () for column in option.split(","))


def with_engine(settings: list[str] | None, engine: str | None) -> list[str]:
    """The settings, and where trials run."""
    return [*(settings or []), *([f"runtime.engine={engine}"] if engine else [])]


def pairs(texts: Sequence[str] | None, option: str) -> dict[str, str]:
    """`["a=1"]` to `{"a": "1"}`; only the first `=` divides."""
    for text in texts or ():
        if not text.partition("=")[0].strip() or "=" not in text:
            raise RecipeError(
                f"{option} expects NAME=VALUE, found {text!r}.", f"Write for example `{option} name=value`."
            )
    return {name.strip(): value.strip() for name, _, value in (text.partition("=") for text in texts or ())}


def limits(texts: Sequence[str] | None, option: str) -> dict[str, float]:
    """`["a=0.1"]` to `{"a": 0.1}`. Raises RecipeError for what is no number."""
    found: dict[str, float] = {}
    for name, value in pairs(texts, option).items():
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = nan
        if isnan(found[name]):
            raise RecipeError(
                f"{option} expects a number after {name}=, found {value!r}.",
                f"Write for example `{option} {name}=0.1`.",
            )
    return found
