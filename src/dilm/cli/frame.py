"""What all verbs share: the program, how a verb joins it, and the options that many have.

Annotations are values in these files (no `annotations` from `__future__`): typer reads the options out of them.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dilm.asked import columns, pairs, sharing, with_engine
from dilm.voice import telling

if TYPE_CHECKING:
    from dilm.recipe import Recipe

WHAT_FOR = "Distil a labelled text dataset into a few readable synthetic examples that train any model."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=WHAT_FOR)

Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Out = Annotated[Path | None, typer.Option(help="Run folder; left out, one under dilm-runs/ is named after the source.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run that is in the run folder.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting, as `dilm show default` names it.")
]
Engine = Annotated[str | None, typer.Option(help="Where trials run: processes, or ray (a cluster).")]
Also = Annotated[list[str] | None, typer.Option(metavar="NAME=PATH", help="Score sets of yours in the same trials.")]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, as made by `dilm load` or `dilm distill`.")
]


def verb(command: Callable[..., None]) -> Callable[..., None]:
    """Register a command, its errors told by `telling`."""
    return verb_of(app)(command)


def verb_of(group: typer.Typer) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The same, in a group of commands."""

    def register(command: Callable[..., None]) -> Callable[..., None]:
        return group.command()(_telling(command))

    return register


def _telling(command: Callable[..., None]) -> Callable[..., None]:

    @wraps(command)
    def told(**given: Any) -> None:
        with telling(given.get("as_json", False)):
            command(**given)

    return told


def described(
    source: Annotated[str, typer.Argument(help="A file (CSV, TSV, JSONL, Parquet), folder, hub id or task name.")],
    text: Annotated[list[str] | None, typer.Option(help="Text column; repeat it or write a,b for pairs.")] = None,
    label: Annotated[str | None, typer.Option(help="Label column.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Column of the text that learners are to write, in place of a label.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="A test file, which is only ever scored.")] = None,
    per_class: Annotated[
        int | None, typer.Option(help="Examples of each class, or condition, in the distilled set.")
    ] = None,
    generator: Annotated[str | None, typer.Option(help="Hub id, folder, or scratch:tiny|mini|small|base.")] = None,
    learner: Annotated[str | None, typer.Option(help="Hub id, folder, or scratch.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A bundled recipe (see `dilm recipes`) or a YAML file.")] = None,
    settings: Settings = None,
    anonymize: Annotated[bool, typer.Option("--anonymize", help="Replace personal data before all else.")] = False,
    epsilon: Annotated[
        float | None, typer.Option(help="Differential privacy: budget of the whole run; 0 is none.")
    ] = None,
    delta: Annotated[str | None, typer.Option(help="With --epsilon: a number below 1 / rows, or auto.")] = None,
    drop_empty: Annotated[bool, typer.Option("--drop-empty", help="Leave out rows with an empty cell.")] = False,
    seed: Annotated[int | None, typer.Option(help="Every random draw follows from it.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    engine: Engine = None,
) -> "Recipe":
    """The recipe that the arguments describe."""
    from dilm import api

    given = {**({"data.drop_empty": True} if drop_empty else {}), **pairs(with_engine(settings, engine), "--set")}
    return api.recipe_for(
        source,
        text=columns(text),
        label=label,
        target=target,
        anonymize=anonymize or None,
        epsilon=epsilon,
        delta=delta,
        test=str(test) if test else None,
        per_class=per_class,
        generator=generator,
        learner=learner,
        recipe=recipe,
        settings=given,
        seed=seed,
        device=device,
    )


on_a_source = sharing(described)
