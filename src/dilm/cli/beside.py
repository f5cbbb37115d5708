"""The verbs beside the road: several runs, recipes, the machine."""

from pathlib import Path
from typing import Annotated

import typer

from dilm.asked import pairs, with_engine
from dilm.cli.frame import Engine, Json, Settings, verb
from dilm.voice import print_facts, print_json, print_table


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
def search(
    recipe: Annotated[str, typer.Argument(help="What is varied: a name from `dilm recipes`, or a YAML file.")],
    space: Annotated[Path, typer.Option(help="YAML file: setting to {low, high, log or step} or {choices: [...]}.")],
    trials: Annotated[int, typer.Option(help="Trials to be scored in all, by all processes that share the search.")],
    out: Annotated[Path, typer.Option(help="Folder for the trials and what they show.")] = Path("dilm-search"),
    storage: Annotated[
        str, typer.Option(help="Database URL that machines share; left out, SQLite in the folder.")
    ] = "",
    prune: Annotated[float, typer.Option(help="End a trial among the worst so many percent early; 0: none.")] = 50.0,
    workers: Annotated[int, typer.Option(help="Trials at a time: processes, or with --engine ray tasks.")] = 1,
    engine: Engine = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Search for settings that suit a task, scored on dev rows alone. What was stopped goes on when called again."""
    from dilm import api

    given = pairs(with_engine(settings, engine), "--set")
    said = {"trials": trials, "out": out, "storage": storage, "prune": prune, "workers": workers}
    found = api.search(recipe, space, **said, settings=given)
    best = found.best
    told = {"trials": found.counted, "best": best and best.number, "dev_score": best and best.value}
    told |= {"error": best.error, "settings": dict(best.settings), "recipe": str(out / "best.yaml")} if best else {}
    print_facts(told | {"page": str(out / "search.html")}, as_json)


@verb
def recipes(as_json: Json = False) -> None:
    """The recipes that come with dilm."""
    from dilm.recipe import book

    about = {name: book.headline(name) for name in book.names()}
    print_facts(about, as_json)


@verb
def show(recipe: Annotated[str, typer.Argument(help="A name from `dilm recipes`, or a YAML file.")]) -> None:
    """Print a recipe with the meaning of every setting, as YAML that --recipe reads."""
    from dilm.recipe import book

    found = book.read(recipe)
    book.check(found)
    typer.echo(book.to_yaml(found), nl=False)


@verb
def doctor(as_json: Json = False) -> None:
    """What this machine offers: versions, device, precision, memory, and whether the Hub answers."""
    from dilm.doctor import examine

    print_facts(examine(), as_json)
