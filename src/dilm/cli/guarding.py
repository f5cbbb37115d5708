"""The verbs that guard personal data."""

from pathlib import Path
from typing import Annotated

import typer

from dilm.asked import columns, limits, pairs
from dilm.cli.frame import Json, RunFolder, Settings, verb
from dilm.voice import print_facts, print_json


@verb
def anonymize(
    source: Annotated[str, typer.Argument(help="A file (CSV, TSV, JSONL, Parquet), folder, hub id or task name.")],
    out: Annotated[Path, typer.Option(metavar="FILE_OR_FOLDER", help="Where it is written, in the same format.")],
    text: Annotated[list[str] | None, typer.Option(help="Column to look at; left out, all but the label.")] = None,
    label: Annotated[str | None, typer.Option(help="Column that is not looked at.")] = None,
    operator: Annotated[str, typer.Option(help="replace, mask, hash or pseudonym.")] = "replace",
    patterns: Annotated[Path | None, typer.Option(help="YAML file with rules of your own.")] = None,
    ner: Annotated[str | None, typer.Option(help="Model that recognises names: hub id, folder or spacy:NAME.")] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Replace personal data in a file by stand-ins, and say what was found where, never what it was."""
    from dilm import api

    rules = str(patterns) if patterns else None
    said = {"operator": operator, "patterns": rules, "ner": ner, "settings": pairs(settings, "--set")}
    found = api.anonymize(source, out, text=columns(text), label=label, **said)
    told = {name: found[name] for name in ("operator", "rows", "touched", "kinds", "note")}
    named = {"written": ", ".join(found["written"]), "detectors": "; ".join(found["detectors"])}
    print_facts(found if as_json else {**named, **told}, as_json)


@verb
def audit(
    run: RunFolder,
    full: Annotated[bool, typer.Option("--full", help="Ask about all held-out rows, and train more learners.")] = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=THRESHOLD", help="Exit with 3 where this figure is above; may be repeated."),
    ] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Look for leaks: what the texts and the generator give away of the rows that they were made from."""
    from dilm import api

    allowed = limits(fail_on, "--fail-on")
    opened = api.change_settings(api.existing_run(run), pairs(settings, "--set"))
    found = api.audit_run(opened, "full" if full else "quick", allowed)
    if as_json:
        print_json(found)
    else:
        typer.echo(api.audit_text(found))
    api.require_below(opened, found)
