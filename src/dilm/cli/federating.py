"""The verbs of several data holders who distil together."""

from pathlib import Path
from typing import Annotated

import typer

from dilm.asked import columns, pairs
from dilm.cli.frame import Json, Out, Resume, Settings, app, verb_of
from dilm.voice import print_facts, print_json, print_table, terminal_width

federate = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(
    federate,
    name="federate",
    help="Distil together: several data holders, of whose rows a server sees secure sums alone.",
)

Address = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the server listens.")]


@verb_of(federate)
def serve(
    source: Annotated[str, typer.Argument(help="Public rows of the same task, which are the server's own.")],
    clients: Annotated[int, typer.Option(help="Data holders, 3 or more.")],
    address: Address = "127.0.0.1:8440",
    text: Annotated[list[str] | None, typer.Option(help="Text column; repeat it or write a,b for pairs.")] = None,
    label: Annotated[str | None, typer.Option(help="Label column.")] = None,
    test: Annotated[Path | None, typer.Option(help="A test file, which is only ever scored.")] = None,
    per_class: Annotated[int | None, typer.Option(help="Examples of each class in the distilled set.")] = None,
    generator: Annotated[str | None, typer.Option(help="Hub id, folder, or scratch:tiny|mini|small|base.")] = None,
    learner: Annotated[str | None, typer.Option(help="Hub id, folder, or scratch.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A bundled recipe (see `dilm recipes`) or a YAML file.")] = None,
    settings: Settings = None,
    epsilon: Annotated[float | None, typer.Option(help="Differential privacy: budget of the whole run.")] = None,
    delta: Annotated[str | None, typer.Option(help="With --epsilon: a number below 1 / rows, or auto.")] = None,
    noise: Annotated[str | None, typer.Option(help="With --epsilon, who adds it: central or distributed.")] = None,
    seed: Annotated[int | None, typer.Option(help="Every public random draw follows from it.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for holders to come.")] = 600.0,
    timeout: Annotated[float, typer.Option(help="Seconds in which a holder must answer.")] = 600.0,
    certificate: Annotated[Path | None, typer.Option(help="The server's certificate (PEM), for TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    holders_ca: Annotated[
        Path | None, typer.Option(help="Who may join: holders with a certificate that this authority (PEM) signed.")
    ] = None,
    out: Out = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Run the whole road with rows that stay with their holders; the run folder is the server's."""
    from dilm import api

    held = {"federation.clients": clients} | ({"federation.noise": noise} if noise else {})
    asked = api.recipe_for(
        source,
        text=columns(text),
        label=label,
        test=str(test) if test else None,
        per_class=per_class,
        generator=generator,
        learner=learner,
        recipe=recipe,
        epsilon=epsilon,
        delta=delta,
        seed=seed,
        device=device,
        settings={**pairs(settings, "--set"), **held},
    )
    run = api.open_run(asked, out, resume)
    secured = api.pem_files(certificate, key, holders_ca)
    api.serve(run, address, (wait, timeout), secured, lambda line: typer.echo(line, err=True))
    api.distill_run(run)
    if as_json:
        print_json(api.findings_json(run))
        return
    print_table(api.results_table(run, terminal_width()))
    typer.echo(run.folder / "report.html")
    typer.echo(run.folder / "distilled" / "distilled.jsonl")


@verb_of(federate)
def join(
    data: Annotated[str, typer.Argument(metavar="FILE", help="Your rows: CSV, TSV, JSONL, Parquet. They stay here.")],
    address: Address = "127.0.0.1:8440",
    text: Annotated[
        list[str] | None, typer.Option(help="Text column; left out, those that the server announces.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label column.")] = None,
    drop_empty: Annotated[bool, typer.Option("--drop-empty", help="Leave out rows with an empty cell.")] = False,
    epsilon: Annotated[
        float, typer.Option(help="Refuse a server that announces more than this, or no differential privacy.")
    ] = 0.0,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds in which the server must be found, or come back.")] = 600.0,
    trust: Annotated[Path | None, typer.Option(help="Authority behind the server's certificate (PEM).")] = None,
    certificate: Annotated[Path | None, typer.Option(help="Yours (PEM), where the server asks who joins.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    as_json: Json = False,
) -> None:
    """Answer a server with sums over your rows until it has what it needs."""
    from dilm import api

    said = {"text": columns(text), "label": label, "drop_empty": drop_empty, "device": device, "epsilon": epsilon}
    shown = {"trust": trust, "certificate": certificate, "key": key}
    print_facts(api.join(data, address, wait=wait, **shown, **said), as_json)
