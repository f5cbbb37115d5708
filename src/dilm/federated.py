"""The server's side of a federated run: what holders are told, the rounds that they are asked in, what is said of them.

A round that too few answer is asked again of those who are left, as nothing of it was unmasked; who joins later takes
part in the rounds that follow. Noise is drawn anew for every round, and every round that was begun under another
server process counts again: what two servers saw of the same step, with different holders, are two releases.
"""

from __future__ import annotations

import io
import secrets
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dilm import private
from dilm.build import Bench
from dilm.errors import RunError
from dilm.models.hub import quiet
from dilm.privacy.federation import Scale, Shares, Terms, least_of, shares
from dilm.privacy.ledger import Mechanism
from dilm.privacy.noise import Keyed, Noise, Secure
from dilm.privacy.secagg import Question, secure_sum
from dilm.recipe import Recipe
from dilm.runtime.link import Frame, Hall
from dilm.schedules import fit_steps
from dilm.types import Task

ROUND, BRIEF = "round", "brief"
"""Kinds of frames: a message of SecAgg+, and a model to be opened."""
COUNT, FIT, TARGET = "count", "fit", "target"
"""What holders are asked for a sum of."""
MOST_ROWS = 2.0**24
"""Of one holder, so that the number of all is exact."""


def wanted(recipe: Recipe) -> bool:
    """Whether the rows stay with data holders."""
    return recipe.federation.clients > 0


def content(recipe: Recipe) -> list[Any]:
    """What stage keys say of it: nothing where it is off."""
    return [asdict(recipe.federation)] if wanted(recipe) else []


def terms(recipe: Recipe, task: Task) -> Terms:
    """What holders agree to."""
    asked = recipe.federation
    return Terms(
        asdict(task),
        asked.clients,
        least_of(asked.clients, asked.least),
        asked.noise,
        recipe.dp.epsilon,
        recipe.fit.contrast,
        recipe.seed,
        recipe.dp.trains,
        recipe.runtime.precision,
        recipe.dp.noise,
    )


@dataclass(frozen=True)
class Patience:
    """How long the server waits, in seconds."""

    holders: float = 600.0
    """For holders to join."""
    answers: float = 600.0
    """For the answer to one message: who takes longer is sent away."""


@dataclass
class Federation:
    """The holders of a run, as stages meet them."""

    hall: Hall
    terms: Terms
    patience: Patience
    tell: Callable[[str], None]
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    """Of this process: its rounds are releases of their own."""
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    told: Frame | None = None
    """The model that holders need."""
    knowing: set[int] = field(default_factory=set)
    """Who has it."""

    def brief(self, role: str, save: Callable[[Path], object]) -> None:
        """Let all holders, and those that come later, open a model: a folder that `save` writes."""
        with tempfile.TemporaryDirectory() as folder, quiet():
            save(Path(folder))
            self.told, self.knowing = Frame(BRIEF, packed(role, Path(folder))), set()

    def sum(self, asked: Mapping[str, Any], arrays: Sequence[np.ndarray], scale: Scale) -> tuple[np.ndarray, int]:
        """The sum of what the holders answer, and how many did. Raises RunError where too few are left."""
        grid = {"signal": scale.signal, "reach": scale.reach, "levels": scale.levels}
        while True:
            holders = self._gathered(self.terms.least)
            known = secure_sum(holders, self.terms.least, Question({**asked, **grid}, arrays, scale), self._carry)
            if known is not None:
                return known
            if set(holders) <= set(self._here()):
                raise RunError("The holders answered, and their answers do not fit together.", "Start all anew.")
            self.tell("A round came to nothing; it is asked again of those who are left.")

    def count(self) -> int:
        """Rows of all holders together. All must be there."""
        self._gathered(self.terms.clients)
        total, answered = self.sum({"what": COUNT}, [], Scale.of(MOST_ROWS, 0.0, self.terms.clients))
        if answered < self.terms.clients:
            raise RunError(f"Only {answered} of {self.terms.clients} holders counted their rows.", "Begin once more.")
        return round(float(total[0]))

    def _gathered(self, least: int) -> list[int]:
        """All who are here, and know the model; waits until there are enough."""
        while True:
            if len(self._here()) < least:
                self._wait(least)
            missing = [number for number in self._here() if number not in self.knowing]
            if self.told and missing:
                frames = dict.fromkeys(missing, self.told)
                self.knowing |= set(self.hall.ask(frames, self.patience.answers))
            found = [number for number in self._here() if not self.told or number in self.knowing]
            if len(found) >= least:
                return found

    def _wait(self, least: int) -> None:
        here, most = len(self._here()), self.terms.clients
        self.tell(f"{here} of {most} holders are here; waiting for {least} at {self.hall.address}.")
        found = self.hall.wait_for(most if here == 0 else least, self.patience.holders)
        if found < least:
            raise RunError(
                f"{found} of {most} holders are here, and {least} are needed; nobody came for "
                f"{self.patience.holders:g} seconds.",
                "What was finished is kept. Let them join, and continue with --resume.",
            )

    def _here(self) -> list[int]:
        return [seat.number for seat in self.hall.present()]

    def _carry(self, messages: Mapping[int, bytes]) -> dict[int, bytes]:
        frames = {number: Frame(ROUND, message) for number, message in messages.items()}
        answers = self.hall.ask(frames, self.patience.answers)
        for number in frames.keys() - answers.keys():
            self.tell(f"Holder {number} was lost.")
        return {number: frame.body for number, frame in answers.items()}


def holders(bench: Bench) -> Federation:
    """Who has the rows. Raises RunError where nobody was asked to come."""
    if bench.holders is None:
        raise RunError(
            "The rows of this run are with data holders, and none of them is at work.",
            "Run it, or continue it, with `dilm federate serve`; holders come with `dilm federate join`.",
        )
    return bench.holders


def mechanism(bench: Bench, stage: str) -> Mechanism:
    """What a stage may do with rows; without differential privacy it adds no noise."""
    if private.wanted(bench.recipe):
        return private.mechanisms(bench)[stage]
    steps = fit_steps(bench.recipe, private.rows(bench)) if stage == "fit" else private.states(bench.recipe)
    return Mechanism(private.rate_of(bench) if stage == "fit" else 1.0, 0.0, steps)


def charge(bench: Bench, stage: str, name: str, used: Mechanism, steps: int) -> None:
    """Write a release down before it is asked for. Raises PrivacyError where the budget does not hold it."""
    if private.wanted(bench.recipe):
        private.ledger(bench).charge(f"{name} {holders(bench).mark}", private.entry(stage, used, steps))


def way(bench: Bench, clip: float, count: float, noise: float, numbers: int) -> Shares:
    """How a sum over about `count` rows is put on a grid, and who adds noise to it."""
    return shares(clip, count, noise, numbers, holders(bench).terms)


def server_noise(bench: Bench) -> Noise:
    """Drawn anew by every server process."""
    return Secure() if bench.recipe.dp.noise == "secure" else Keyed(holders(bench).key)


def statement(recipe: Recipe, told: Mapping[str, Any]) -> str:
    """What was done with the rows of a run, in one sentence, without its full stop."""
    kept = (
        f"rows stayed with {recipe.federation.clients} data holders, whose clipped sums were added up by Flower's "
        "SecAgg+ (for parties that are curious but follow the protocol)"
    )
    if not told:
        return f"no differential privacy: {kept}; what the sums say of rows, the generator and its texts may say"
    return f"{private.statement(told)}; {kept}, with {recipe.federation.noise} noise"


def packed(role: str, folder: Path) -> bytes:
    """The files of a model's folder, as they are, after its role."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as parcel:
        for file in sorted(folder.iterdir()):
            parcel.write(file, file.name)
    return role.encode() + b"\n" + whole.getvalue()
