"""The command line: arguments become a recipe, the recipe a verb, the verb one printed result.

Results go to stdout, everything else to stderr. Exit 0: done; 2: the user can mend it; 130: stopped; 1: a bug in dilm.
Annotations are values in this file (no `annotations` from `__future__`): typer reads the options out of them.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dilm.asked import columns, pairs, sharing, with_engine
from dilm.voice import one_voice, print_facts, print_json, print_table, telling, terminal_width

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


def main() -> None:
    """The entry point of `dilm`."""
    with one_voice():
        app()


def verb(command: Callable[..., None]) -> Callable[..., None]:
    """Register a command, its errors told by `telling`."""

    @wraps(command)
    def told(**given: Any) -> None:
        with telling(given.get("as_json", False)):
            command(**given)

    return app.command()(told)


def described(
    source: Annotated[str, typer.Argument(help="A file (CSV, TSV, JSONL, Parquet), folder, hub id or task name.")],
    text: Annotated[list[str] | None, typer.Option(help="Text column; repeat it or write a,b for pairs.")] = None,
    label: Annotated[str | None, typer.Option(help="Label column.")] = None,
    test: Annotated[Path | None, typer.Option(help="A test file, which is only ever scored.")] = None,
    per_class: Annotated[int | None, typer.Option(help="Examples of each class in the distilled set.")] = None,
    generator: Annotated[str | None, typer.Option(help="Hub id, folder, or scratch:tiny|mini|small|base.")] = None,
    learner: Annotated[str | None, typer.Option(help="Hub id, folder, or scratch.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A bundled recipe (see `dilm recipes`) or a YAML file.")] = None,
    settings: Settings = None,
    anonymize: Annotated[bool, typer.Option("--anonymize", help="Replace personal data before all else.")] = False,
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
        anonymize=anonymize or None,
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
    """What `distill` would run, what is done already, and what it may cost. Changes nothing."""
    from dilm import api

    rows = api.plan(recipe, out)
    if as_json:
        print_json({"stages": rows})
        return
    for row in rows:
        cost = f"~{row['seconds']:.0f} s{row['megabytes']:>8.0f} MB"
        typer.echo(f"{row['stage']:<10}{row['state']:<13}{cost:>19}  {row['detail']}")


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
def pretrain(run: RunFolder, settings: Settings = None, as_json: Json = False) -> None:
    """Make the models that are asked for from scratch; pretrained ones are only opened."""
    _stage(run, "pretrain", settings, as_json)


@verb
def embed(run: RunFolder, settings: Settings = None, as_json: Json = False) -> None:
    """Distil into embeddings instead of text (TDD), where a baseline asks for it."""
    _stage(run, "embed", settings, as_json)


@verb
def fit(run: RunFolder, settings: Settings = None, as_json: Json = False) -> None:
    """Train the generator as a language model of each class."""
    _stage(run, "fit", settings, as_json)


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


@verb
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders that were evaluated.")],
    html: Annotated[Path | None, typer.Option(help="Write the comparison to this file, as one page.")] = None,
    as_json: Json = False,
) -> None:
    """Put several runs side by side: accuracy by size, by cost, and with each learner."""
    from dilm import api

    fields = api.comparison([api.existing_run(folder) for folder in runs])
    if html:
        api.write_comparison(fields, html)
    if as_json:
        print_json(api.comparison_json(fields))
        return
    print_table(api.comparison_table(fields))
    if html:
        typer.echo(html)


@verb
def benchmark(
    suite: Annotated[str, typer.Option(help="A suite that comes with dilm (small, toy), or a YAML file.")] = "small",
    out: Annotated[Path, typer.Option(help="Folder for the runs and the leaderboard.")] = Path("dilm-benchmark"),
    generator: Annotated[str | None, typer.Option(help="Hub id, folder, or scratch:tiny|mini|small|base.")] = None,
    learner: Annotated[str | None, typer.Option(help="Hub id, folder, or scratch.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe that every run starts from.")] = None,
    rebuild: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Only write its leaderboard anew.")] = None,
    engine: Engine = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Run a suite of tasks and sizes, and write its leaderboard. What was finished before is not run again."""
    from dilm import api

    given = pairs(with_engine(settings, engine), "--set")
    said = {"generator": generator, "learner": learner, "recipe": recipe, "settings": given}
    page = api.rebuild_leaderboard(rebuild) if rebuild else api.benchmark(suite, out, **said)
    print_facts({"page": str(page), "table": str(page.with_suffix(".md"))}, as_json)


@verb
def recipes(as_json: Json = False) -> None:
    """The recipes that come with dilm."""
    from dilm import recipe_book

    about = {name: recipe_book.headline(name) for name in recipe_book.names()}
    print_facts(about, as_json)


@verb
def show(recipe: Annotated[str, typer.Argument(help="A name from `dilm recipes`, or a YAML file.")]) -> None:
    """Print a recipe with the meaning of every setting, as YAML that --recipe reads."""
    from dilm import recipe_book

    found = recipe_book.read(recipe)
    recipe_book.check(found)
    typer.echo(recipe_book.to_yaml(found), nl=False)


@verb
def doctor(as_json: Json = False) -> None:
    """What this machine offers: versions, device, precision, memory, and whether the Hub answers."""
    from dilm.doctor import examine

    print_facts(examine(), as_json)


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


def _stage(folder: Path, name: str, settings: list[str] | None, as_json: bool, **options: object) -> None:
    from dilm import api

    run = api.change_settings(api.existing_run(folder), pairs(settings, "--set"))
    print_facts(api.run_stage(run, name, **options), as_json)
