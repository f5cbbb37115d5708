"""`search`: which settings suit a task, told by dev rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilm.recipe import book

if TYPE_CHECKING:
    from dilm.reports.searched import Searched


def search(
    recipe: str | Path,
    space: str | Path | Mapping[str, Any],
    *,
    trials: int,
    out: str | Path = "dilm-search",
    settings: Mapping[str, Any] | None = None,
    storage: str = "",
    prune: float = 50.0,
    workers: int = 1,
) -> Searched:
    """Search a space of settings around a recipe (bundled name or YAML file) until `trials` of them are scored.

    `space` is a YAML file or its content. `out` holds the trials' runs, the study (unless `storage` is the URL of
    another database), search.html, trials.md, trials.json and best.yaml. Called again, it goes on; from several
    processes or machines, it is shared. `prune`: a trial ends early among the worst so many percent; 0: none does.
    `workers`: so many trials at a time, in processes or, with the setting runtime.engine=ray, as tasks of Ray.
    """
    from dilm.searching import spaces, together
    from dilm.searching.tuning import Search

    base = book.override(book.read(recipe), dict(settings or {}))
    book.check(base)
    made = spaces.of(space, base) if isinstance(space, Mapping) else spaces.read(space, base)
    return together.search(Search(base, made, Path(out), trials, storage, prune), workers)
