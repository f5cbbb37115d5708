"""The verbs that guard personal data, and what was made of it."""

from pathlib import Path
from typing import Annotated

import typer

from dilm.asked import columns, limits, pairs
from dilm.cli.frame import Json, RunFolder, Settings, verb
from dilm.errors import CHECK_FAILED
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
    opened = api.with_settings(api.existing_run(run), pairs(settings, "--set"))
    found = api.audit_run(opened, "full" if full else "quick", allowed)
    if as_json:
        print_json(found)
    else:
        typer.echo(api.audit_text(found))
    api.require_below(opened, found)


@verb
def verify(
    folder: Annotated[Path, typer.Argument(help="A run folder, or one with a distilled set.")],
    head: Annotated[str, typer.Option(help="Head of the run's journal as you noted it elsewhere.")] = "",
    as_json: Json = False,
) -> None:
    """Say whether every file is as it was written, and the journal one unbroken chain; exit code 3 where not."""
    from dilm import api

    found = api.verify(folder, head)
    if as_json:
        print_json(found)
    else:
        for note in found["notes"]:
            typer.echo(f"Note: {note}", err=True)
        for fault in found["faults"]:
            typer.echo(f"{fault['path']}: {fault['what']}")
        told = {"untouched": found["files"], "faults": len(found["faults"])}
        print_facts(told | ({"head": found["head"]} if found["head"] else {}), as_json)
    if found["faults"]:
        raise typer.Exit(CHECK_FAILED)


@verb
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run, or a folder with a distilled set.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="The file to write; it must not be there.")],
    encrypt_to: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY_OR_FILE", help="Who may read it: age1... or ssh-ed25519 keys, or files of them."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the product, and nothing else of the run, into one file, encrypted with age where recipients are named."""
    from dilm import api

    sent = api.export(run, to, encrypt_to or ())
    if not encrypt_to:
        typer.echo("Not encrypted: whoever has the file can read it (--encrypt-to).", err=True)
    if sent["real_rows"]:
        typer.echo(f"{sent['real_rows']} of its examples are rows of the training data, word for word.", err=True)
    print_facts(sent, as_json)


@verb
def open(
    file: Annotated[Path, typer.Argument(help="What `dilm export` wrote.")],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to make; it must not be there.")],
    identity: Annotated[
        Path | None, typer.Option(metavar="KEYFILE", help="Your age or ssh secret key, where it is encrypted.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Decrypt, check and unpack an exported set into a new folder."""
    from dilm import api

    folder = api.open_export(file, to, identity)
    print_facts({"folder": str(folder), "untouched": api.verify(folder)["files"]}, as_json)


@verb
def quota(
    run: RunFolder,
    texts: Annotated[int | None, typer.Option(help="Texts that may be written in all; left out, only tell.")] = None,
    as_json: Json = False,
) -> None:
    """How many texts may still be written from a run whose generator is shared. It counts, and locks nothing."""
    from dilm import api

    print_facts(api.quota(run, texts), as_json)
