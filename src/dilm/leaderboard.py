"""A suite of tasks and sizes, run one after the other, and the leaderboard that their scores give.

Every run keeps a folder of its own. Sizes of one task share whatever does not depend on the size: the generator is
trained once. A suite that was stopped goes on where it stopped, and the leaderboard can be made anew from the recipes
and scores of its runs, whatever else of their folders was thrown away.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from dilm import pipeline, runs, sealed
from dilm.compared import compared, from_scores
from dilm.errors import RecipeError, RunError, did_you_mean
from dilm.recipe import Recipe
from dilm.reports import comparison_page
from dilm.reports.comparison import Field
from dilm.runs import Run
from dilm.runtime.processes import crew
from dilm.stages.records import SCORES

BUNDLED = Path(__file__).parent / "suites"
SUITE_HOLDS = "It names tasks, sizes, and settings."
PAGE, TABLE = "leaderboard.html", "leaderboard.md"


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Suite:
    """What is run: every task at every size, under the same settings."""

    tasks: tuple[str, ...]
    sizes: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One run of a suite."""

    folder: Path
    recipe: Recipe


def names() -> list[str]:
    """The suites that come with dilm."""
    return sorted(path.stem for path in BUNDLED.glob("*.yaml"))


def read(name_or_path: str) -> Suite:
    """A bundled suite by name, or a YAML file. Raises RecipeError for one that is not there or not a suite."""
    path = BUNDLED / f"{name_or_path}.yaml" if name_or_path in names() else Path(name_or_path)
    if not path.is_file():
        remedy = f"{did_you_mean(name_or_path, names(), 'Known')} Or name a YAML file."
        raise RecipeError(f"There is no suite {name_or_path!r}.", remedy)
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
        if not isinstance(tree, Mapping):
            raise RecipeError(f"{path} is not a suite: it holds a {type(tree).__name__}.", SUITE_HOLDS)
        return TypeAdapter(Suite).validate_python(tree)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecipeError(f"{path} is not a suite: {where}: {first['msg']}.", SUITE_HOLDS) from fault
    except yaml.YAMLError as fault:
        problem = " ".join(str(fault).split())
        raise RecipeError(f"{path} is not a suite: {problem}", SUITE_HOLDS) from fault


def entries(suite: Suite, out: Path, recipe_of: Callable[[str, int], Recipe]) -> list[Entry]:
    """Every run of the suite, sizes of a task together."""
    stems = [Path(task).stem for task in suite.tasks]
    if len(set(stems)) < len(stems):
        raise RecipeError(f"Two tasks of the suite end alike: {', '.join(stems)}.", "Rename one of the files.")
    return [
        Entry(out / f"{stem}-{size}", recipe_of(task, size))
        for stem, task in zip(stems, suite.tasks, strict=True)
        for size in suite.sizes
    ]


def run_all(found: Sequence[Entry]) -> Iterator[Run]:
    """Run what is missing of each entry, once the rows of all were read; yields the finished runs."""
    begun: list[Run] = []
    for entry in found:
        begun.append(_begun(entry, begun))
    done: list[Run] = []
    for run in begun:
        with pipeline.at_work(run) as bench:
            for earlier in done:
                bench.crew.told(partial(share, earlier, run))
            pipeline.run_all(bench)
        done.append(run)
        yield run


def _begun(entry: Entry, others: Sequence[Run]) -> Run:
    """The entry's run, its rows read, if not by others: what is wrong with them is told before anything is trained."""
    run = crew().told(partial(runs.create, entry.folder, entry.recipe, resume=True))
    with pipeline.at_work(run) as bench:
        for other in others:
            bench.crew.told(partial(share, other, run))
        pipeline.run_stage(bench, "load")
    return run


def share(source: Run, target: Run, copy: Callable[[str, str], object] = shutil.copy2) -> list[str]:
    """Copy finished stages that are the same under both recipes, where the target lacks them; returns their names."""
    ours, theirs = pipeline.keys(target.recipe), pipeline.keys(source.recipe)
    copied = []
    for name in pipeline.NAMES:
        missing = not target.stage(name).is_done(ours[name]) and not target.stage(name).is_begun(ours[name])
        if missing and ours[name] == theirs[name] and source.stage(name).is_done(theirs[name]):
            sealed.undo(target, name)
            unfinished = target.folder / f".{name}"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(source.stage(name).path, unfinished, copy_function=copy)
            unfinished.rename(target.stage(name).path)
            sealed.adopt(target, name)
            copied.append(name)
    return copied


def write(finished: Sequence[Run], out: Path) -> tuple[Path, Path]:
    """Write the page and the table of what the runs scored; returns both paths."""
    return crew().told(lambda: _write(compared(sorted(finished, key=_place)), out))


def rebuild(out: Path) -> tuple[Path, Path]:
    """Write both anew from the runs in a folder, of which recipe.yaml and scores.jsonl are enough.

    Raises RunError where there is no such run, or one is not whole.
    """
    found = [runs.existing(file.parent) for file in out.glob(f"*/{SCORES}") if (file.parent / runs.RECIPE).exists()]
    if not found:
        raise RunError(
            f"{out} holds no run: no folder in it has both {runs.RECIPE} and {SCORES}.",
            "Name the folder of a benchmark, the one that `dilm benchmark --out` was given.",
        )
    return crew().told(lambda: _write(from_scores(sorted(found, key=_place)), out))


def _place(run: Run) -> tuple[str, int]:
    """Tasks by name, sizes of a task from small to large: the same order whoever lists the folders."""
    size = run.recipe.per_class
    return run.folder.name.removesuffix(f"-{size}"), size


def _write(fields: Sequence[Field], out: Path) -> tuple[Path, Path]:
    runs.write_text(out / PAGE, comparison_page.render(fields))
    runs.write_text(out / TABLE, comparison_page.markdown(fields))
    return out / PAGE, out / TABLE
