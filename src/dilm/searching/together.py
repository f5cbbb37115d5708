"""Several trials of a search at a time: processes of this machine, or tasks on a Ray cluster, that share its study.

Each is a search of its own that ends when there are as many trials as wanted, so nobody deals them out, and one that is
lost costs trials under way alone, which are tried again: whoever called goes on until nothing is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from dilm.errors import RecipeError, ResourceError
from dilm.recipe import Recipe, book
from dilm.reports.searched import Searched
from dilm.runtime import cluster, workers
from dilm.searching import tuning
from dilm.searching.tuning import Search


def search(wanted: Search, at_once: int) -> Searched:
    """As `tuning.search`, so many trials at a time, where the recipe's `runtime.engine` says.

    Raises RecipeError, before any task begins, where machines could not know of each other's trials.
    """
    if at_once < 1:
        raise RecipeError(f"workers should be at least 1, found {at_once}.", "Leave it out for one trial at a time.")
    if at_once > 1:
        _require_shared(wanted)
        tuning.begin(wanted)
        part = partial(_part, replace(wanted, recipe=_alone(wanted.recipe), out=wanted.out.absolute()), Path.cwd())
        with suppress(BrokenExecutor):  # one process was killed, which ends the others, too
            for _ in _side_by_side(wanted, part, at_once):
                pass
    return tuning.search(wanted)


def _side_by_side(wanted: Search, part: partial[int], at_once: int) -> Iterator[tuple[int, int]]:
    runtime = wanted.recipe.runtime
    if runtime.engine == "ray":
        return cluster.run(part, range(at_once), runtime.cluster)
    return workers.run(part, range(at_once), at_once)


def _require_shared(wanted: Search) -> None:
    runtime = wanted.recipe.runtime
    if runtime.engine == "ray" and runtime.cluster and not wanted.storage:
        raise RecipeError(
            f"The cluster at {runtime.cluster} may have machines that do not see the study in {wanted.out}.",
            "Name a database that all of them reach (--storage), or leave runtime.cluster out for this machine alone.",
        )


def _alone(recipe: Recipe) -> Recipe:
    """Within a task the trainings of a trial come one after the other: tasks that wait for tasks block the rest."""
    return book.override(recipe, {"runtime.engine": "processes", "runtime.cluster": "", "runtime.workers": 1})


def _part(wanted: Search, here: Path, number: int) -> int:
    """What one process does, from the folder in which the search was called: the recipe's paths may be relative."""
    try:
        os.chdir(here)
    except OSError as fault:
        raise ResourceError(
            f"Task {number} of the search has no folder {here} on its machine.",
            "Call the search from a folder that all machines have, such as a shared one.",
        ) from fault
    tuning.search(wanted)
    return number
