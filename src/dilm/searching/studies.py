"""Optuna's study of one search: where its trials are kept, who works on them, and what becomes of those that died.

Any number of processes and machines may open one study. A trial is tried again, with the same settings, when the
process that worked on it is gone: at once where its lock lies in this search folder, otherwise when its heartbeat has
been missing for `GRACE` seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from filelock import FileLock, Timeout

from dilm.errors import ResourceError, first_line

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

DATABASE, LOCK, WORKERS = "study.db", ".search.lock", ".workers"
HEARTBEAT, GRACE = 30, 120
"""Seconds between signs of life of a trial, and without one until it counts as dead."""
PATIENCE = 60
"""Seconds to wait for a database that another process writes."""
FOLDER, WORKER, TRIES, FAILURE = "folder", "worker", "tries", "failure"
"""What a trial says of itself: its run's name, who works on it, how often it was tried, and why it failed."""

MEASURED = "measured"
"""What the study says of its task."""


def opened(out: Path, storage: str, name: str, better: str = "maximize") -> Study:
    """The study of this name, begun where there is none; to `minimize` or `maximize` says which values are better.

    `storage` is any database URL of SQLAlchemy's; empty: SQLite in the search folder.
    """
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = storage or f"sqlite:///{(out / DATABASE).absolute()}"
    extra = {"connect_args": {"timeout": PATIENCE}} if url.startswith("sqlite") else {}
    with warnings.catch_warnings(), locked(out):  # two processes would make the same tables
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            kept = optuna.storages.RDBStorage(
                url,
                extra,
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
                heartbeat_stale_trial_callback=again,
            )
            return optuna.create_study(study_name=name, storage=kept, direction=better, load_if_exists=True)
        except Exception as fault:  # of any database driver
            raise _refused(url, fault) from fault


def known(trial: Trial) -> FrozenTrial:
    """What the study knows of a trial by now."""
    return trial.study.get_trials(deepcopy=False)[trial.number]


def again(study: Study, trial: FrozenTrial) -> None:
    """Queue the same settings once more, to go on in the same run folder."""
    said = {FOLDER: trial.user_attrs.get(FOLDER, f"{trial.number:04d}"), TRIES: trial.user_attrs.get(TRIES, 1) + 1}
    study.enqueue_trial(trial.params, user_attrs=said)


@contextmanager
def working(out: Path) -> Iterator[str]:
    """Within, this process is known to be alive; yields its name among those that work in the search folder."""
    name = uuid4().hex
    (out / WORKERS).mkdir(exist_ok=True)
    with FileLock(out / WORKERS / name):
        yield name
    (out / WORKERS / name).unlink(missing_ok=True)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Within, no other process of this search folder does what is done under this lock."""
    with FileLock(out / LOCK):
        yield


def bury(study: Study, out: Path) -> None:
    """Mark trials of dead processes as failed, and queue their settings again."""
    from optuna.storages import fail_stale_trials
    from optuna.trial import TrialState

    with warnings.catch_warnings(), locked(out):
        warnings.simplefilter("ignore")  # an experimental part of Optuna
        fail_stale_trials(study)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if _is_dead(out, trial.user_attrs.get(WORKER, "")):
                study.tell(trial.number, state=TrialState.FAIL)
                again(study, trial)


def _is_dead(out: Path, worker: str) -> bool:
    """Whether a process that worked in this folder is gone; of another machine's this folder knows nothing."""
    file = out / WORKERS / worker
    if not worker or not file.exists():
        return False
    try:
        with FileLock(file, timeout=0):
            return True
    except Timeout:
        return False


def standing(study: Study, below: int | None = None) -> int:
    """Trials, of those numbered `below`, that are finished, pruned or under way."""
    from optuna.trial import TrialState

    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    found = study.get_trials(deepcopy=False, states=states)
    return sum(_counts(trial) and (below is None or trial.number < below) for trial in found)


def _counts(trial: FrozenTrial) -> bool:
    """Whoever was killed between its trial's beginning and its own name left one that nobody will finish."""
    young = trial.datetime_start and datetime.now() - trial.datetime_start < timedelta(seconds=GRACE)
    return trial.state.is_finished() or WORKER in trial.user_attrs or bool(young)


def importances(study: Study) -> Mapping[str, float]:
    """Share of the scores' variance that each setting explains, the largest first (fANOVA: Hutter et al. 2014).

    Empty where fewer than four trials were finished, or all scored the same.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < 4 or len({trial.value for trial in done}) < 2:
        return {}
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in shares.items()}


def _refused(url: str, fault: Exception) -> ResourceError:
    """Without the password, which may stand in the URL."""
    return ResourceError(
        f"The search's database cannot be opened ({type(fault).__name__}: {first_line(fault)}).".replace(
            _password(url), "***"
        ),
        "Write --storage as DIALECT://USER:PASSWORD@HOST/NAME, install its driver, or leave it out for SQLite.",
    )


def _password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return str(make_url(url).password or url)
    except ArgumentError:
        return url


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as fault:
        raise ResourceError("Optuna is not installed.", "Install it with `pip install 'dilm[search]'`.") from fault
    return optuna
