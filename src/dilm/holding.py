"""A data holder's side of a federated run: its rows, read once and kept here, and the sums that it answers with.

Coins that draw rows, and its share of the noise, follow from a secret of this process, and from a counter, or come from
a cipher where the server announces that: what is asked twice is answered with other coins and other noise.
"""

from __future__ import annotations

import io
import secrets
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dilm.data.load import read_rows
from dilm.distillation.fit import Lessons
from dilm.distillation.private_fit import losses_at, shown
from dilm.errors import DataError, ModelError, PrivacyError, RunError
from dilm.federated import BRIEF, COUNT, FIT, ROUND, TARGET
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.privacy.dpsgd import Bounds, DPAdamW, Hooked
from dilm.privacy.federation import DISTRIBUTED, Scale, Terms, threat_model
from dilm.privacy.noise import Keyed, Noise, Secure
from dilm.privacy.released import clipped_gradients
from dilm.privacy.secagg import Holder, prepare
from dilm.runtime.device import choose
from dilm.runtime.link import BYE, FULL, READY, WELCOME, Line, Secrets, again_where_lost, join
from dilm.runtime.optimize import AdamW, Schedule
from dilm.stages.private_fit import prepared, trained
from dilm.types import Dataset

MODEL_FILES = (".json", ".safetensors", ".txt", ".model", ".jinja")
"""Of a model that the server sends: nothing that is run when it is read."""


@dataclass(frozen=True)
class Own:
    """What a holder says of its rows."""

    source: str
    text: tuple[str, ...] = ()
    label: str = ""
    drop_empty: bool = False
    device: str = "auto"
    epsilon: float = 0.0
    """The most that the server may announce; 0: whatever it does, no differential privacy included."""


@dataclass
class Answers:
    """What this process answers; counts are all that it remembers."""

    rows: Dataset
    terms: Terms
    device: str
    noise: Noise = field(init=False)
    asked: int = 0
    generator: CausalGenerator | None = None
    learner: Classifier | None = None
    summing: DPAdamW | None = None

    def __post_init__(self) -> None:
        self.noise = Secure() if self.terms.drawn == "secure" else Keyed(secrets.token_bytes(32))

    def __call__(self, asked: Mapping[str, Any], arrays: list[np.ndarray]) -> np.ndarray:
        """The sum that is asked for, on its grid, with this holder's share of the noise: one vector, float64."""
        self.asked += 1
        scale = Scale(float(asked["signal"]), float(asked["reach"]), int(asked["levels"]))
        makers = {COUNT: self._count, FIT: self._fit, TARGET: self._target}
        what = str(asked["what"])
        if self.terms.epsilon and self.terms.noise == DISTRIBUTED and what != COUNT and not asked.get("noise"):
            raise PrivacyError(
                "The server asks for a sum without the noise that it announced.", "Do not trust it; tell who runs it."
            )
        total = makers[what](asked, arrays)
        answer = total.detach().cpu().double()
        if not asked.get("noise"):
            return scale.on_grid(answer.numpy())
        drawn = self.noise.normal(answer, self.asked).double().numpy()
        return scale.with_noise(answer.numpy(), float(asked["noise"]) * drawn)

    def open(self, parcel: bytes) -> None:
        """Open the model that the server sent, here and for nothing else."""
        role, _, whole = parcel.partition(b"\n")
        place = choose(self.device, self.terms.precision)
        with tempfile.TemporaryDirectory() as folder:
            unpack(whole, Path(folder))
            if role == b"generator":
                opened = CausalGenerator.open(folder, self.terms.about, place)
                self.generator = prepared(opened, False, self.terms.trains)
                self.summing = None
            else:
                self.learner = Classifier.open(folder, self.terms.about, place, self.terms.about.max_tokens)

    def _count(self, _: Mapping[str, Any], __: list[np.ndarray]) -> Tensor:
        return torch.tensor([float(len(self.rows))])

    def _fit(self, asked: Mapping[str, Any], arrays: list[np.ndarray]) -> Tensor:
        """Clipped gradients of the generator, of rows that coins draw."""
        generator, summing = self._summing(float(asked["clip"]))
        with torch.no_grad():
            for weight, array in zip(trained(generator), arrays, strict=True):
                weight.copy_(torch.from_numpy(array))
        drawn = self.noise.chosen(len(self.rows), float(asked["rate"]), self.asked)
        lessons, step = Lessons(self.rows, 0, self.terms.contrast, self.terms.seed), int(asked["step"])
        sums = summing.sums(losses_at(generator, lessons, step), shown(lessons, drawn))
        return torch.cat([each.flatten() for each in sums])

    def _target(self, asked: Mapping[str, Any], _: list[np.ndarray]) -> Tensor:
        """Clipped gradients of the learner's head, class by class."""
        if self.learner is None:
            raise RunError("The server asks for gradients of a learner that it did not send.", "Begin once more.")
        learner, clip = self.learner, float(asked["clip"])
        classes = range(len(self.terms.about.labels))
        return torch.cat([clipped_gradients(learner, self.rows.of(label).examples, clip) for label in classes])

    def _summing(self, clip: float) -> tuple[CausalGenerator, DPAdamW]:
        if self.generator is None:
            raise RunError("The server asks for gradients of a generator that it did not send.", "Begin once more.")
        if self.summing is None:
            adam = AdamW(trained(self.generator), Schedule(1, 0.0))  # never steps: that is the server's
            self.summing = DPAdamW(adam, Bounds(clip, 0.0, 1.0), self.noise, Hooked(self.generator.model))
        return self.generator, self.summing


def hold(own: Own, address: str, wait: float, tell: Callable[[str], None], secured: Secrets) -> dict[str, Any]:
    """Answer the server at this address until it has what it needs; returns how many rounds there were.

    Raises DataError for rows that do not fit what it announces, and RunError where no server answers for `wait`
    seconds, or comes back in that time.
    """
    prepare()
    kept: dict[str, Any] = {}

    def attend(seconds: float) -> None:
        with join(address, seconds, secured) as line:
            _attend(line, own, kept, tell)

    again_where_lost(attend, wait)
    answers = kept["answers"]
    return {"rows": len(answers.rows), "answered": answers.asked}


def _attend(line: Line, own: Own, kept: dict[str, Any], tell: Callable[[str], None]) -> None:
    """One connection, from the welcome to the last word."""
    for frame in line.frames:
        if frame.kind == WELCOME:
            terms = Terms.read(frame.body.decode())
            kept["answers"] = _welcomed(terms, own, kept.get("answers"), tell)
            kept["holder"] = Holder(kept["answers"])
            line.say(READY)
        elif frame.kind == BRIEF:
            kept["answers"].open(frame.body)
            line.say(BRIEF)
        elif frame.kind == ROUND:
            line.say(ROUND, kept["holder"].answer(frame.body))
        elif frame.kind == FULL:
            raise RunError("All seats are taken: as many holders as were expected are there.", "Ask who runs it.")
        elif frame.kind == BYE:
            if frame.body:
                raise RunError(f"The server stopped: {frame.body.decode()}", "Join again when it continues.")
            return


def _welcomed(terms: Terms, own: Own, known: Answers | None, tell: Callable[[str], None]) -> Answers:
    """The rows under these terms; read once, also where the server came back."""
    if known is not None and known.terms == terms:
        return known
    for line in threat_model(terms):
        tell(line)
    if own.epsilon and not 0 < terms.epsilon <= own.epsilon:
        announced = f"epsilon {terms.epsilon:g}" if terms.epsilon else "no differential privacy"
        raise PrivacyError(
            f"The server announces {announced}, and you allow epsilon {own.epsilon:g} at most.",
            "Agree on a budget with who runs it, or allow more.",
        )
    return Answers(own_rows(own, terms), terms, own.device)


def own_rows(own: Own, terms: Terms) -> Dataset:
    """The holder's rows as examples of the common task. Raises DataError where they are of another."""
    task, text = terms.about, own.text
    if text and len(text) != len(task.fields):
        raise DataError(
            f"The server announces {len(task.fields)} text columns ({', '.join(task.fields)}), and --text names "
            f"{len(text)} ({', '.join(text)}).",
            "Name one column for each, in that order.",
        )
    rows = read_rows(own.source, text=text or task.fields, label=own.label or None, drop_empty=own.drop_empty)
    unknown = sorted({rows.task.labels[row.label] for row in rows} - set(task.labels))
    if unknown:
        raise DataError(
            f"{own.source} has classes that the server does not announce: {', '.join(map(repr, unknown[:5]))}. It "
            f"announces {', '.join(map(repr, task.labels))}.",
            "Write the classes as announced, or agree on others and let the server begin anew.",
        )
    if not len(rows):
        raise DataError(f"{own.source} has no rows.", "A holder needs at least one.")
    places = [task.labels.index(label) if label in task.labels else -1 for label in rows.task.labels]
    return Dataset(task, [replace(row, label=places[row.label]) for row in rows])


def unpack(parcel: bytes, folder: Path) -> None:
    """The files of a model, into a new folder. Raises ModelError for anything that is no plain model file."""
    try:
        with zipfile.ZipFile(io.BytesIO(parcel)) as whole:
            for name in whole.namelist():
                if name != Path(name).name or not name.endswith(MODEL_FILES):
                    raise ModelError(f"The server sent {name!r} with a model.", "Do not trust it; tell who runs it.")
                (folder / name).write_bytes(whole.read(name))
    except zipfile.BadZipFile as fault:
        raise ModelError("The server sent a model that cannot be read.", "Begin once more.") from fault
