"""Recipes by name and from disk: reading, overriding, checking, comparing and writing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import TypeAdapter, ValidationError

from dilm.errors import RecipeError, did_you_mean
from dilm.recipe import UNCHANGING, Recipe
from dilm.recipe.fields import LIST_THEM, fields_of, flatten, leaves, suggest
from dilm.recipe.rules import check as check

BUNDLED = Path(__file__).parents[1] / "recipes"
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def names() -> list[str]:
    """The recipes that come with dilm, in alphabetical order."""
    return sorted(path.stem for path in BUNDLED.glob("*.yaml"))


def headline(name: str) -> str:
    """The first comment line of a bundled recipe: what it is for."""
    return (BUNDLED / f"{name}.yaml").read_text("utf-8").splitlines()[0].lstrip("# ")


def read(name_or_path: str | Path) -> Recipe:
    """A bundled recipe by name, or a YAML file by path; what it leaves out keeps its default.

    Raises RecipeError for a name or file that is not there, bad YAML, an unknown setting and a value of the wrong type.
    """
    path = _locate(str(name_or_path))
    return _admit(_parse(path), f"Recipe {name_or_path}")


def override(recipe: Recipe, settings: Mapping[str, object]) -> Recipe:
    """`recipe` with some settings replaced, named by dotted keys; texts are read as on a command line.

    >>> override(Recipe(), {"fit.steps": "300", "data.text": "title,body"}).data.text
    ('title', 'body')
    """
    tree = asdict(recipe)
    for name, value in settings.items():
        field = leaves().get(name)
        if field is None:
            raise RecipeError(f"{name!r} is not a setting.", suggest(name))
        *sections, last = name.split(".")
        node = tree[sections[0]] if sections else tree
        node[last] = _split(value) if get_origin(field.annotation) is tuple else value
    return _admit(tree, "Settings")


def to_yaml(recipe: Recipe, comments: bool = True) -> str:
    """YAML that `read` turns into an equal recipe, each setting's documentation beside its value."""
    plain = [(name, f"{name.rpartition('.')[2]}: {_scalar(value)}") for name, value in flatten(recipe).items()]
    width = max(len(text) for _, text in plain if len(text) < 50)
    lines = [f"# {Recipe.__doc__}"] if comments else []
    section = ""
    for name, text in plain:
        if name.rpartition(".")[0] != section:
            section = name.rpartition(".")[0]
            lines += ["", *_section_comment(section, comments), f"{section}:"]
        indent = "  " if section else ""
        about = " ".join((leaves()[name].description or "").split())
        beside = f"{indent}{text:<{width}}  # {about}" if comments and about else f"{indent}{text}"
        lines.append(beside)
    return "\n".join(lines).lstrip("\n") + "\n"


def differences(before: Recipe, after: Recipe) -> list[str]:
    """One line for each setting that differs; `runtime` and `server` are left out, because they change no result.

    >>> differences(Recipe(seed=0), Recipe(seed=7))
    ['seed: 0 -> 7']
    """
    new = flatten(after)
    return [
        f"{name}: {_scalar(old)} -> {_scalar(new[name])}"
        for name, old in flatten(before).items()
        if old != new[name] and name.partition(".")[0] not in UNCHANGING
    ]


def _locate(wanted: str) -> Path:
    if wanted in names():
        return BUNDLED / f"{wanted}.yaml"
    path = Path(wanted).expanduser()
    if path.is_file():
        return path
    listed = f"Bundled recipes: {', '.join(names())}; anything else is the path of a YAML file."
    raise RecipeError(f"There is no recipe {wanted!r}.", f"{did_you_mean(wanted, names())} {listed}".strip())


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        _refuse_repeats(yaml.compose(text, Loader=yaml.SafeLoader), path)
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        problem = " ".join(str(fault).split())
        raise RecipeError(
            f"{path.name} is not readable YAML: {problem}.", "Mend that line, or start from it."
        ) from fault
    if not isinstance(tree or {}, dict):
        kind = type(tree).__name__
        raise RecipeError(f"{path.name} should hold settings by name, found a {kind}.", LIST_THEM)
    return tree or {}


def _refuse_repeats(node: yaml.Node | None, path: Path) -> None:
    """A key that stands twice would silently lose its first value."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            line = key.start_mark.line + 1
            raise RecipeError(
                f"{path.name}, line {line}: {key.value!r} stands here a second time.", "Keep one of them."
            )
        seen.add(key.value)
        _refuse_repeats(value, path)


def _admit(tree: Mapping[Any, Any], where: str) -> Recipe:
    """The door: plain data in, a valid recipe or a RecipeError out. A section without settings is all defaults."""
    full = {name: {} if value is None and name in fields_of(Recipe) else value for name, value in tree.items()}
    try:
        return TypeAdapter(Recipe).validate_python(full)
    except ValidationError as fault:
        raise _explain(fault, where) from fault


def _explain(fault: ValidationError, where: str) -> RecipeError:
    first = fault.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path[:2])
    if first["type"] == "unexpected_keyword_argument":
        return RecipeError(f"{where}: {name!r} is not a setting.", suggest(name))
    if name not in leaves():
        return RecipeError(f"{where}: {name!r} should be a section of settings, found {first['input']!r}.", LIST_THEM)
    kind = _KINDS.get(leaves()[name].annotation, "a list of texts")  # type: ignore[arg-type]
    return RecipeError(f"{where}: {name} should be {kind}, found {first['input']!r}.", "Change that value.")


def _split(value: object) -> object:
    """`a,b` and `[a, b]` are both lists on a command line."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.strip("[] ").split(",") if part.strip())


def _scalar(value: object) -> str:
    """One line of YAML."""
    value = list(value) if isinstance(value, tuple) else value
    for style in (None, '"'):
        text = yaml.safe_dump(value, default_flow_style=True, default_style=style, allow_unicode=True, width=1 << 30)
        line = text.removesuffix("...\n").rstrip("\n")
        if len(line.splitlines()) == 1:  # what Python calls a line break is more than YAML's plain style escapes
            break
    return line


def _section_comment(section: str, comments: bool) -> Iterator[str]:
    if comments:
        about = fields_of(Recipe)[section].annotation.__doc__  # type: ignore[union-attr]
        yield f"# {about}"
