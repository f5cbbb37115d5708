"""How the command line speaks: results to stdout, everything else to stderr, JSON when asked for."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from dilm.errors import DilmError

if TYPE_CHECKING:
    from rich.table import Table


@contextmanager
def telling(as_json: bool) -> Iterator[None]:
    """The one place where a user's mistake becomes a paragraph, and an interruption a way to go on."""
    try:
        yield
    except DilmError as fault:
        typer.secho("Error: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(str(fault), err=True)
        if as_json:
            typer.echo(json.dumps({"error": fault.problem, "remedy": fault.remedy}, ensure_ascii=False))
        raise typer.Exit(2) from fault
    except KeyboardInterrupt as fault:
        typer.echo(f"\nStopped. What was finished is kept; continue with:\n  {_again()}", err=True)
        raise typer.Exit(130) from fault


def _again() -> str:
    """The command that continues this one; a stage on a run folder always continues."""
    words = sys.argv[1:]
    needs_saying = words[:1] in (["distill"], ["load"]) and "--resume" not in words
    return shlex.join(["dilm", *words, *(["--resume"] if needs_saying else [])])


def print_json(value: object) -> None:
    """One JSON object on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_facts(facts: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or a line for each fact that fits on one."""
    if as_json:
        print_json(facts)
        return
    lines = {name: _line(value) for name, value in facts.items() if not isinstance(value, list | tuple)}
    width = max(map(len, lines), default=0)
    for name, line in lines.items():
        typer.echo(f"{name:<{width}}  {line}")


def _line(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_line(inner)}" for name, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def terminal_width() -> int:
    """Characters on a line, 80 where there is no terminal."""
    from rich.console import Console

    return Console().width


def print_table(table: Table) -> None:
    """As wide as the terminal, plain where there is none."""
    from rich.console import Console

    Console().print(table)
