"""The verbs of the road: from a source to a report, whole or stage by stage."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dilm.asked import pairs, with_engine
from dilm.cli.frame import Also, Engine, Json, Out, Resume, RunFolder, Settings, on_a_source, verb
from dilm.voice import print_facts, print_json, print_table, terminal_width

if TYPE_CHECKING:
    from dilm.recipe import Recipe


@verb
@on_a_source
def distill(recipe: "Recipe", out: Out = None, resume: Resume = False, as_json: Json = False) -> None:
    """Run the whole road, from a dataset to a small readable one with scores and a report."""
    from dilm import api

    run = api.open_run(recipe, out, resume)
    api.distill_run(run)
    if as_json:
        print_json(api.findings_json(run))
        return
    print_table(api.results_table(run, terminal_width()))
    typer.echo(api.audit_headline(run))
    typer.echo(run.folder / "report.html")
    typer.echo(run.folder / "distilled" / "distilled.jsonl")


@verb
@on_a_source
def load(recipe: "Recipe", out: Out = None, resume: Resume = False, as_json: Json = False) -> None:
    """Make a run folder and read the data into its splits: the first stage."""
    from dilm import api

    run = api.open_run(recipe, out, resume)
    print_facts({"run": str(run.folder), **api.run_stage(run, "load")}, as_json)


@verb
@on_a_source
def plan(recipe: "Recipe", out: Out = None, as_json: Json = False) -> None:
    """What `distill` would run, what is done already, and what it may cost. Changes nothing but the journal
    of a run that is there, which notes that rows were counted."""
    from dilm import api

    rows = api.plan(recipe, out)
    if as_json:
        print_json({"stages": rows})
        return
    for row in rows:
        cost = f"~{row['seconds']:.0f} s{row['megabytes']:>8.0f} MB"
        typer.echo(f"{row['stage']:<10}{row['state']:<13}{cost:>19}  {row['detail']}")


@verb
def pretrain(run: RunFolder, settings: Settings = None, as_json: Json = False) -> None:
    """Make the models that are asked for from scratch; pretrained ones are only opened."""
    _stage(run, "pretrain", settings, as_json)


@verb
def embed(run: RunFolder, settings: Settings = None, as_json: Json = False) -> None:
    """Distil into embeddings instead of text (TDD), where a baseline asks for it."""
    _stage(run, "embed", settings, as_json)


@verb
def fit(
    run: RunFolder,
    corpus: Annotated[str | None, typer.Option(help="Unlabelled text of the domain, which is read first.")] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Train the generator as a language model of each class."""
    _stage(run, "fit", [*(settings or []), *([f"corpus.source={corpus}"] if corpus else [])], as_json)


@verb
def match(run: RunFolder, settings: Settings = None, as_json: Json = False) -> None:
    """Train the generator until what it writes gives the learner the gradients of real text."""
    _stage(run, "match", settings, as_json)


@verb
def generate(run: RunFolder, settings: Settings = None, as_json: Json = False) -> None:
    """Write the pools that the sets are selected from."""
    _stage(run, "generate", settings, as_json)


@verb
def select(run: RunFolder, settings: Settings = None, as_json: Json = False) -> None:
    """Choose the best few texts of each class."""
    _stage(run, "select", settings, as_json)


@verb
def evaluate(
    run: RunFolder, also: Also = None, engine: Engine = None, settings: Settings = None, as_json: Json = False
) -> None:
    """Train learners on the small sets and on the baselines, and score them."""
    own = pairs(also, "--also")
    _stage(run, "evaluate", with_engine(settings, engine), as_json, **({"also": own} if own else {}))


@verb
def report(run: RunFolder, as_json: Json = False) -> None:
    """Write report.html, the table and the dataset card."""
    _stage(run, "report", None, as_json)


def _stage(folder: Path, name: str, settings: list[str] | None, as_json: bool, **options: object) -> None:
    from dilm import api

    run = api.with_settings(api.existing_run(folder), pairs(settings, "--set"))
    print_facts(api.run_stage(run, name, **options), as_json)
