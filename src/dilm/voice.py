"""How the command line speaks: results to stdout, everything else to stderr, JSON when asked for."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import typer

from dilm.errors import DilmError
from dilm.runtime.processes import crew

if TYPE_CHECKING:
    from rich.table import Table


@contextmanager
def one_voice() -> Iterator[None]:
    """Of several processes the first alone is heard, or the one that tells why they end; it tells before any ends."""
    if crew().wire is None:
        yield
        return
    with ExitStack() as hushed:
        if crew().rank:
            nowhere = hushed.enter_context(open(os.devnull, "w", encoding="utf-8"))
            hushed.enter_context(redirect_stdout(nowhere))
            hushed.enter_context(redirect_stderr(nowhere))
        try:
            yield
        except SystemExit as end:
            if end.code:
                crew().part()
            raise
        except BaseException:
            crew().leave_word(None)
            raise


@contextmanager
def telling(as_json: bool) -> Iterator[None]:
    """The one place where a user's mistake becomes a paragraph, and an interruption a way to go on."""
    try:
        yield
    except DilmError as fault:
        if crew().tells(fault):
            _tell(fault, as_json)
        raise typer.Exit(fault.exit_code) from fault
    except KeyboardInterrupt as fault:
        if crew().tells(fault):
            with _aloud():
                typer.echo(f"\nStopped. What was finished is kept; continue with:\n  {_again()}", err=True)
            crew().leave_word(None)
        raise typer.Exit(130) from fault


def _tell(fault: DilmError, as_json: bool) -> None:
    with _aloud():
        typer.secho("Error: ", fg="red", bold=True, nl=False, err=True)
        typer.echo(str(fault), err=True)
        if as_json and not fault.printed:
            typer.echo(json.dumps({"error": fault.problem, "remedy": fault.remedy}, ensure_ascii=False))
    crew().leave_word(fault)


@contextmanager
def _aloud() -> Iterator[None]:
    """Within, a process that `one_voice` keeps quiet is heard."""
    with ExitStack() as heard:
        if crew().rank and sys.__stdout__ and sys.__stderr__:
            heard.enter_context(redirect_stdout(sys.__stdout__))
            heard.enter_context(redirect_stderr(sys.__stderr__))
        yield


def _again() -> str:
    """The command that continues this one; a stage on a run folder always continues."""
    words = sys.argv[1:]
    begins = words[:1] in (["distill"], ["load"]) or words[:2] == ["federate", "serve"]
    needs_saying = begins and "--resume" not in words
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
