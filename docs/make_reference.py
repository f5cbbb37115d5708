"""Write reference/recipe.md and reference/cli.md from the code, so that they cannot say anything else."""

from __future__ import annotations

from pathlib import Path

from typer.main import get_command

from dilm.cli import app
from dilm.recipe import Recipe, book
from dilm.recipe.fields import fields_of, flatten, leaves

HERE = Path(__file__).parent / "reference"


def recipe_page() -> str:
    """Every setting with its default and meaning, section by section."""
    lines = [
        "# Recipe",
        "",
        "Everything that can be configured. Generated from `src/dilm/recipe/` by `docs/make_reference.py`.",
        "",
        "A recipe on disk is YAML with these names; what it leaves out keeps its default. `--set section.name=value`",
        'changes one setting on the command line, `settings={"section.name": value}` in Python. Every setting changes',
        "results, and so belongs to a stage's key, unless it stands in `runtime` or `server`.",
        "",
        f"Bundled recipes: {', '.join(f'`{name}`' for name in book.names())}.",
    ]
    values, section = flatten(Recipe()), None
    for name, field in leaves().items():
        here = name.rpartition(".")[0]
        if here != section:
            section = here
            about = (fields_of(Recipe)[here].annotation if here else Recipe).__doc__
            lines += [
                "",
                f"## {here or 'The run'}",
                "",
                str(about),
                "",
                "| setting | default | meaning |",
                "|---|---|---|",
            ]
        shown = list(values[name]) if isinstance(values[name], tuple) else values[name]
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        lines.append(f"| `{name}` | `{shown if shown != '' else chr(39) * 2}` | {meaning} |")
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """Every verb with its arguments and options."""
    lines = [
        "# Command line",
        "",
        "Generated from `src/dilm/cli/` by `docs/make_reference.py`.",
        "",
        "Results go to stdout, progress and messages to stderr. With `--json`, stdout is exactly one JSON object.",
        "Exit codes: 0 done · 2 a mistake that you can mend, told in one paragraph · 3 a check failed (`verify`, or",
        "the audit's `--fail-on`) · 130 stopped · 1 a bug in dilm.",
        "",
        "Environment: `DILM_DATA` (folder with local copies of the tasks) ·",
        "`DILM_API_KEY` (key of a served model) · `DILM_CACHE` (scores, points and answers kept across",
        "runs) · `DILM_PROGRESS=none` (no progress) · `HF_HUB_OFFLINE=1` (never ask the Hub).",
    ]
    for name, command in _flat(get_command(app)):
        lines += ["", f"## dilm {name}", "", (command.help or "").strip(), "", "| argument | meaning |", "|---|---|"]
        lines += [f"| {_spelling(parameter)} | {_meaning(parameter)} |" for parameter in command.params]
    return "\n".join(lines) + "\n"


def _flat(group, before: str = ""):
    """Every command, those of a group under its name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _flat(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _spelling(parameter) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    value = "" if getattr(parameter, "is_flag", False) else f" {parameter.metavar or parameter.name.upper()}"
    return f"`{parameter.opts[0]}{value}`"


def _meaning(parameter) -> str:
    return (parameter.help or "").replace("|", "\\|")


PAGES = {"recipe.md": recipe_page, "cli.md": cli_page}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (HERE / file).write_text(page(), encoding="utf-8")
