"""The command line: arguments become a recipe, the recipe a verb, the verb one printed result.

Results go to stdout, everything else to stderr. Exit 0: done; 2: the user can mend it; 3: a check failed (`verify`, or
the audit's `--fail-on`); 130: stopped; 1: a bug in dilm.
"""

from typing import Annotated

import typer

from dilm.cli.frame import app
from dilm.voice import one_voice

# Each registers its verbs, in the order in which they are listed.
from dilm.cli import road  # isort: skip  # noqa: F401
from dilm.cli import guarding  # isort: skip  # noqa: F401
from dilm.cli import federating  # isort: skip  # noqa: F401
from dilm.cli import beside  # isort: skip  # noqa: F401

__all__ = ["app", "main"]


def main() -> None:
    """The entry point of `dilm`."""
    with one_voice():
        app()


def _print_version(asked: bool) -> None:
    if asked:
        from dilm.version import VERSION

        typer.echo(f"dilm {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """What stands before the verb."""
