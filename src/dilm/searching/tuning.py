"""Search over recipes: trials until there are as many as wanted, then their page, their table and the best recipe.

Any number of processes and machines may search together: they share Optuna's study, and take a trial each in turn. A
search that was killed goes on when it is called again.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from filelock import FileLock

from dilm import pipeline, runs
from dilm.errors import DilmError, PrivacyError, RecipeError, ResourceError, RunError
from dilm.journal import SEARCHING
from dilm.reading import is_generation
from dilm.recipe import UNCHANGING, Recipe, book
from dilm.recipe.fields import counted
from dilm.recipe.learners import learning
from dilm.reports import search_page, searched
from dilm.reports.scales import scale
from dilm.reports.searched import Searched, Tried
from dilm.runtime.hashing import key
from dilm.runtime.processes import crew
from dilm.runtime.seeding import derive
from dilm.searching import studies
from dilm.searching.spaces import Space
from dilm.searching.studies import FAILURE, MEASURED, TRIES, WORKER
from dilm.searching.trying import BASE, Way, run_trial, unmeasured
from dilm.stages.choosing import RACED
from dilm.stages.dev_scores import unraced

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

SPACE, BEST, PAGE, TABLE, RECORD = "space.yaml", "best.yaml", "search.html", "trials.md", "trials.json"
MOST_FAILURES = 5
"""Failed trials in a row that end the search."""
MOST_TRIES = 2
"""Times that a trial is begun which fails by an error, rather than by being killed."""
REFUSALS = 50
"""Combinations of settings in a row that no recipe can have, which end the search, too."""


@dataclass(frozen=True)
class Search:
    """What is searched, how long, and where it is kept."""

    recipe: Recipe
    space: Space
    out: Path
    trials: int
    """Finished and pruned ones together, of all processes that share the study."""
    storage: str = ""
    """Database URL; empty: SQLite in `out`."""
    prune: float = 50.0
    """A trial ends early where its score on the way is among the worst so many percent; 0: none does."""

    @property
    def name(self) -> str:
        """The study's name in a database that many may share: equal recipe and space, equal study."""
        content = {name: value for name, value in counted(self.recipe).items() if name not in UNCHANGING}
        return f"dilm-{key([content, self.space.plain])[:16]}"

    @property
    def races(self) -> bool:
        """Whether any trial may race sets."""
        tried = [value for each in self.space.dimensions if each.name == "select.method" for value in each.tried]
        return RACED in (tried or [self.recipe.select.method])

    @property
    def metric(self) -> str:
        """Before the rows are read, what is known of it: whether less is better."""
        return "perplexity" if is_generation(self.recipe) else "score"


class Surplus(Exception):
    """Another process drew the last trial first."""


def search(wanted: Search) -> Searched:
    """Run trials until there are as many as wanted, and write the page, the table and the best recipe after each.

    What was killed goes on where it stopped. Raises RecipeError, PrivacyError, RunError and ResourceError for what
    cannot be searched, and the error of a trial where one after the other fails.
    """
    begin(wanted)
    better = "minimize" if scale(wanted.metric).sign < 0 else "maximize"
    study = studies.opened(wanted.out, wanted.storage, wanted.name, better)
    with studies.working(wanted.out) as worker:
        _base(wanted)
        work = _Work(wanted, study, worker)
        studies.bury(study, wanted.out)
        while studies.standing(study) < wanted.trials and not work.done:
            study.optimize(work.one, n_trials=1, catch=(DilmError, Surplus))
            _tell(write(wanted, study))
            work.require_progress()
            studies.bury(study, wanted.out)
    return write(wanted, study)


def _tell(found: Searched) -> None:
    """How far the search is, on stderr."""
    best = f"best {found.score(found.best)}, trial {found.best.number}" if found.best else "none finished yet"
    print(f"{found.counted} of {found.wanted}; {best}", file=sys.stderr, flush=True)


class _Work:
    """One process's part in a search."""

    def __init__(self, wanted: Search, study: Study, worker: str) -> None:
        self.wanted, self.study, self.worker = wanted, study, worker
        self.done = False
        self._failures: list[DilmError] = []
        self._refusals: list[DilmError] = []

    def one(self, trial: Trial) -> float:
        """The mean dev score of one trial."""
        trial.set_user_attr(WORKER, self.worker)
        if studies.standing(self.study, below=trial.number) >= self.wanted.trials:
            self.done = True
            trial.set_user_attr(FAILURE, "enough trials without it")
            raise Surplus
        begin = time.monotonic()
        try:
            return self._tried(trial, self._recipe(trial))
        finally:
            trial.set_user_attr("seconds", time.monotonic() - begin)

    def require_progress(self) -> None:
        """Raise the last error where nothing but errors came."""
        if len(self._failures) >= MOST_FAILURES:
            raise self._failures[-1]
        if len(self._refusals) >= REFUSALS:
            raise RecipeError(
                f"{REFUSALS} draws from the space in a row contradict the recipe; the last: {self._refusals[-1]}",
                "Narrow the space to what goes together.",
            )

    def _recipe(self, trial: Trial) -> Recipe:
        """What this trial tries; draws depend on its number and on what is known, not on who makes them."""
        from optuna.samplers import TPESampler

        self.study.sampler = TPESampler(seed=derive(self.wanted.recipe.seed, "search", trial.number))
        recipe = book.override(unmeasured(self.wanted.recipe), self.wanted.space.suggested(trial))
        try:
            book.check(recipe)
        except RecipeError as fault:
            trial.set_user_attr(FAILURE, fault.problem)
            self._refusals.append(fault)
            raise
        self._refusals.clear()
        return recipe

    def _way(self, trial: Trial) -> Way:
        return Way(trial, self.wanted.prune, self.wanted.metric, self.wanted.races)

    def _tried(self, trial: Trial, recipe: Recipe) -> float:
        """A trial that fails is tried once more, one that is interrupted as often as it takes."""
        try:
            value = run_trial(self._way(trial), self.wanted.out, recipe)
        except DilmError as fault:
            trial.set_user_attr(FAILURE, fault.problem)
            self._failures.append(fault)
            if trial.user_attrs.get(TRIES, 1) < MOST_TRIES:
                studies.again(self.study, studies.known(trial))
            raise
        except KeyboardInterrupt:
            trial.set_user_attr(FAILURE, "interrupted")
            studies.again(self.study, studies.known(trial))
            raise
        self._failures.clear()
        return value


def _require_searchable(wanted: Search) -> None:
    book.check(wanted.recipe)
    if wanted.recipe.dp.epsilon:
        raise PrivacyError(
            "A search chooses by dev scores, which no mechanism covers, and every trial would spend the budget anew.",
            "Search on public data of the same kind, and run the best recipe with dp.epsilon; or set dp.epsilon=0.",
        )
    if reading := [name for name in wanted.recipe.evaluate.learners if learning(name).reads]:
        raise RecipeError(
            f"A search scores learners that are trained, and {reading[0]!r} reads.", "Take it out of evaluate.learners."
        )
    if wanted.trials < 1 or not 0 <= wanted.prune < 100:
        raise RecipeError(
            f"trials should be at least 1 and prune from 0 to below 100, found {wanted.trials} and {wanted.prune}.",
            "Change that option.",
        )
    if crew().size > 1:
        raise ResourceError(
            "A search is no run of several processes.", "Start the same command several times: they share the study."
        )


def begin(wanted: Search) -> None:
    """The search folder: what is searched stands in it, and it holds one search only. Raises as `search` does."""
    _require_searchable(wanted)
    if not {studies.LOCK, SPACE} & _inside(wanted.out):  # no lock is left in a folder of others
        _require_room(wanted.out)
    runs.make_private(wanted.out, runs.DOORS[wanted.recipe.runtime.readers])
    with studies.locked(wanted.out):  # another process may have been about to begin the same
        _require_room(wanted.out)
        if (wanted.out / SPACE).exists():
            _require_same(wanted)
        runs.write_text(wanted.out / runs.RECIPE, book.to_yaml(wanted.recipe))
        runs.write_text(wanted.out / SPACE, yaml.safe_dump(wanted.space.plain, sort_keys=False))


def _inside(folder: Path) -> set[str]:
    runs.require_folder(folder)
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def _require_room(out: Path) -> None:
    found = _inside(out) - {studies.LOCK}
    if found and SPACE not in found:
        raise RunError(f"{out} holds something else than a search.", "Choose another `--out`.")


def _require_same(wanted: Search) -> None:
    found = book.differences(book.read(wanted.out / runs.RECIPE), wanted.recipe)
    if yaml.safe_load((wanted.out / SPACE).read_text("utf-8")) != wanted.space.plain:
        found.append("another space")
    if found:
        raise RunError(
            f"{wanted.out} holds a search of something else ({'; '.join(found[:5])}).",
            "Choose another `--out`, or give the same recipe and space.",
        )


def _base(wanted: Search) -> None:
    """The data, divided once, and models from scratch where the space leaves these alone.

    Raises RecipeError where races would leave no row to score on.
    """
    changes = any(each.name.split(".")[0] in ("pretrain", "models") for each in wanted.space.dimensions)
    with FileLock(wanted.out / ".base.lock"):
        run = runs.create(wanted.out / BASE, unmeasured(wanted.recipe), resume=True)
        with pipeline.at_work(run) as bench:
            for name in ("load",) if changes else ("load", "pretrain"):
                pipeline.run_stage(bench, name)
            if wanted.races:
                with bench.gate.opened(SEARCHING):
                    unraced(bench)


def write(wanted: Search, study: Study) -> Searched:
    """The page, the table, the record, and the best recipe, of what is known by now."""
    found = _found(wanted, study)
    best = book.override(wanted.recipe, found.best.settings) if found.best else None
    with studies.locked(wanted.out):
        if best:
            runs.write_text(wanted.out / BEST, book.to_yaml(best))
        text = book.to_yaml(best, comments=False) if best else ""
        runs.write_text(wanted.out / PAGE, search_page.render(found, text))
        runs.write_text(wanted.out / TABLE, searched.markdown(found))
        runs.write_text(wanted.out / RECORD, json.dumps(searched.plain(found), indent=1, ensure_ascii=False))
    return found


def _found(wanted: Search, study: Study) -> Searched:
    trials = [_tried(trial) for trial in study.get_trials(deepcopy=False)]
    said = study.user_attrs.get(MEASURED, {})
    task, metric = said.get("task", wanted.recipe.data.source), said.get("metric", wanted.metric)
    return Searched(task, metric, wanted.trials, wanted.space.plain, trials, studies.importances(study))


def _tried(trial: FrozenTrial) -> Tried:
    said = trial.user_attrs
    tries = f"try {said[TRIES]}" if TRIES in said else ""
    failed = said.get(FAILURE, "killed") if trial.state.name == "FAIL" else ""
    return Tried(
        trial.number,
        trial.state.name.lower(),
        dict(trial.params),
        trial.value,
        said.get("error"),
        said.get("seconds"),
        said.get("learners", {}),
        "; ".join(filter(None, (failed, tries))),
        tuple(said.get("shared", ())),
    )
