"""What a run spends of its privacy budget: Gaussian mechanisms added up, written down before they are used.

A mechanism adds noise to a sum over rows of which each can change at most `clip`; noise is given in multiples of that.
With a sampling rate below 1 each row takes part by a coin of its own (Poisson sampling). Opacus adds them up, whatever
their noise and rates: numerically (PRV, Gopi et al. 2021), or by Rényi divergences (RDP, Mironov 2017).
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from dilm.errors import PrivacyError, ResourceError

ACCOUNTANTS = {"prv": "PRVAccountant", "rdp": "RDPAccountant"}
LEAST_NOISE, MOST_NOISE = 2.0**-7, 2.0**20
FINE = 1.001
"""Calibrated noise is at most this many times what the budget asks for."""


@dataclass(frozen=True)
class Mechanism:
    """A Gaussian mechanism, `steps` times."""

    rate: float
    """Chance of a row to take part in a step; 1: all rows do."""
    noise: float
    """Standard deviation of the noise, in multiples of the most that one row can change."""
    steps: int


@dataclass(frozen=True)
class Budget:
    """What may be spent at most: for one row more or less, a chance of any outcome changes by exp(epsilon) at most,
    but for delta."""

    epsilon: float
    delta: float
    accountant: str = "prv"


def spent(mechanisms: Iterable[Mechanism], delta: float, accountant: str = "prv") -> float:
    """Epsilon of all mechanisms together: an upper bound; infinite where one adds no noise."""
    together: dict[tuple[float, float], int] = {}
    for each in mechanisms:
        together[each.noise, each.rate] = together.get((each.noise, each.rate), 0) + each.steps
    history = tuple((noise, rate, steps) for (noise, rate), steps in sorted(together.items()) if steps and rate)
    return _epsilon(history, delta, accountant)


def calibrated(budget: Budget, rate: float, steps: int, beside: Iterable[Mechanism] = ()) -> float:
    """The least noise with which `steps` steps, and what stands `beside` them, stay within the budget.

    Raises PrivacyError where no noise is enough.
    """
    others, budgeted = tuple(beside), budget.epsilon

    def within(noise: float, accountant: str) -> bool:
        return spent((*others, Mechanism(rate, noise, steps)), budget.delta, accountant) <= budgeted

    # RDP takes a moment whatever the noise; PRV needs long where there is little, so it begins near RDP's answer.
    high = _least(lambda noise: within(noise, "rdp"), LEAST_NOISE, 1.0)
    if budget.accountant != "rdp":
        start = high or 1.0
        high = _least(lambda noise: within(noise, budget.accountant), start / 2, start)
    if high is None:
        raise PrivacyError(
            f"No noise keeps {steps} steps within epsilon {budgeted:g}.", "Raise dp.epsilon, or take fewer steps."
        )
    return high


def _least(within: Callable[[float], bool], low: float, high: float) -> float | None:
    """The least noise above `low` that is within, nearly; None where there is none."""
    while not within(high):
        low, high = high, 2 * high
        if high > MOST_NOISE:
            return None
    while high / low > FINE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if within(middle) else (middle, high)
    return high


@lru_cache(maxsize=256)
def _epsilon(history: tuple[tuple[float, float, int], ...], delta: float, accountant: str) -> float:
    if not history:
        return 0.0
    if min(noise for noise, _, _ in history) < LEAST_NOISE:
        return math.inf
    made = _accountant(accountant)
    made.history = list(history)
    with _numbers_that_run_over():
        try:
            found = float(made.get_epsilon(delta=delta))
        except (ValueError, RuntimeError, MemoryError, OverflowError):  # too little noise for its grid
            return math.inf
    return found if math.isfinite(found) else math.inf


def _accountant(name: str):
    try:
        from opacus import accountants
    except ImportError as fault:
        raise ResourceError(
            "Differential privacy needs Opacus, which is not installed.", "Run `pip install 'dilm[privacy]'`."
        ) from fault
    return getattr(accountants, ACCOUNTANTS[name])()


@contextmanager
def _numbers_that_run_over():
    """At a rate of 1 Opacus takes the logarithm of 0, and means minus infinity; RDP tells when its orders end."""
    import numpy

    with warnings.catch_warnings(), numpy.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Entry:
    """One use of real rows."""

    stage: str
    what: str
    mechanism: Mechanism


class Ledger:
    """Everything that a run ever released of its rows, in one file that only grows.

    An entry is written, and on the disk, before the rows are read: a kill can lose the release but not its price. An
    entry that is there already stands for the very same numbers (same rows, weights, draws and noise), made once more;
    that tells nobody anything new, and costs nothing.
    """

    def __init__(self, file: Path, budget: Budget) -> None:
        self.file = file
        self.budget = budget

    @property
    def entries(self) -> dict[str, Entry]:
        """By the name of what was released."""
        if not self.file.exists():
            return {}
        told = json.loads(self.file.read_text(encoding="utf-8"))
        return {name: _entry(each) for name, each in told.items()}

    @property
    def epsilon(self) -> float:
        """Spent so far."""
        return self._with({})

    def charge(self, name: str, entry: Entry) -> None:
        """Write an entry down. Raises PrivacyError, and writes nothing, where the budget does not hold it."""
        known = self.entries
        if name in known:
            return
        self.require({name: entry})
        told = {name: asdict(each) for name, each in {**known, name: entry}.items()}
        _write_through(self.file, json.dumps(told, indent=1))

    def require(self, more: Mapping[str, Entry]) -> None:
        """Raise PrivacyError where the budget does not hold these beside all that is written."""
        after = self._with(more)
        if after > self.budget.epsilon:
            what = next(iter(more.values())).what
            raise PrivacyError(
                f"{what} would bring this run to epsilon {after:.2f}, beyond its budget of {self.budget.epsilon:g} at "
                f"delta {self.budget.delta:.1e}; {self.epsilon:.2f} is spent already.",
                "What was made before is kept. Go back to the earlier settings, raise dp.epsilon and say so to whoever "
                "relies on it, or keep what there is.",
            )

    def _with(self, more: Mapping[str, Entry]) -> float:
        whole = {**self.entries, **more}
        return spent((each.mechanism for each in whole.values()), self.budget.delta, self.budget.accountant)


def _entry(told: Mapping) -> Entry:
    return Entry(told["stage"], told["what"], Mechanism(**told["mechanism"]))


def _write_through(file: Path, text: str) -> None:
    """All of it or nothing, and past every cache: the power may fail after what it pays for."""
    part = file.with_name(file.name + ".part")
    with part.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(part, file)
    if os.name == "posix":
        folder = os.open(file.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
