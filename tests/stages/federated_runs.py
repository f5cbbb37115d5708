"""A server's public rows, three holders' own, and settings with which they distil together in seconds."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certificates import Authority, pair
from launching import free_port, ordinary
from private_runs import PRIVATE, THINGS, WORDS

from dilm import api, federated, pipeline
from dilm.api.federating import WITH_HOLDERS
from dilm.errors import DilmError
from dilm.federated import ROUND
from dilm.holding import Answers, Own, own_rows
from dilm.journal import OWN_CODE
from dilm.privacy.federation import Terms
from dilm.privacy.secagg import Holder
from dilm.runs import Run
from dilm.runtime.link import Frame, Seat
from dilm.types import Dataset

HOLDERS, ROWS = 3, 40
FEDERATED: dict[str, Any] = PRIVATE | {
    "federation.least": 2,  # of three, one is lost
    "fit.steps": 4,
    "fit.check_every": 2,
    "fit.batch": HOLDERS * ROWS,  # so every row takes part in every step
    "match.steps": 2,
    "data.dev_rows": 20,
    "data.test_rows": 20,
    "evaluate.steps": 2,
    "evaluate.baselines": "random",
    "generate.oversample": 2,
    "generate.attempts": 600,
}
DYING = Path(__file__).with_name("dying_holder.py")


def write_rows(file: Path, count: int, seed: int) -> Path:
    """Short reviews, as many of either class."""
    rng = random.Random(seed)
    with file.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("text", "label"))
        for at in range(count):
            label = list(WORDS)[at % 2]
            table.writerow((f"{rng.choice(THINGS)} {rng.choice(WORDS[label])} {rng.choice(THINGS)}", label))
    return file


def write_all(folder: Path) -> dict[str, Any]:
    """The files of everybody; what the server is told."""
    for at in range(HOLDERS):
        write_rows(folder / f"holder-{at}.csv", ROWS, at)
    rng, every = random.Random(9), [word for words in WORDS.values() for word in words]
    lines = [f"{rng.choice(THINGS)} {rng.choice(every)} {rng.choice(THINGS)}" for _ in range(200)]
    (folder / "public.txt").write_text("\n".join(lines), encoding="utf-8")
    return {
        "source": write_rows(folder / "server.csv", 120, 8),
        "per_class": 2,
        "generator": "scratch:tiny",
        "recipe": "private-toy",
        "settings": FEDERATED | {"pretrain.corpus": str(folder / "public.txt")},
    }


def to_serve(said: dict[str, Any], address: str) -> list[str]:
    """`federate serve`, without its run folder."""
    command = ["federate", "serve", str(said["source"]), "--clients", str(HOLDERS), "--address", address]
    command += ["--recipe", said["recipe"], "--per-class", str(said["per_class"]), "--generator", said["generator"]]
    return [*command, *(word for name, value in said["settings"].items() for word in ("--set", f"{name}={value}"))]


def served(said: dict[str, Any], out: Path, *words: str, address: str) -> subprocess.Popen[str]:
    """The same, as a process of its own."""
    return begun(["-m", "dilm", *to_serve(said, address), "--out", str(out), *words], out.parent / "server-cache")


def joined(folder: Path, at: int, address: str, *words: str) -> subprocess.Popen[str]:
    """`dilm federate join`, a process of its own with a cache of its own."""
    command = ["federate", "join", str(folder / f"holder-{at}.csv"), "--address", address, "--device", "cpu"]
    return begun(["-m", "dilm", *command, *words], folder / f"cache-{at}")


def dying(folder: Path, at: int, address: str, step: int, *pem: Path) -> subprocess.Popen[str]:
    """A holder whose process is killed while it works on its answer of that step."""
    words = [str(folder / f"holder-{at}.csv"), address, str(step), *map(str, pem)]
    return begun([str(DYING), *words], folder / f"cache-{at}")


def shows(folder: Path, by: Authority, name: str) -> list[str]:
    """Options with which a holder knows the server, and is known by it."""
    own = by.signed(name)
    return ["--trust", str(folder / "server.pem"), "--certificate", str(own.certificate), "--key", str(own.key)]


def begun(words: list[str], cache: Path) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = ordinary() | {"DILM_CACHE": str(cache)}
    return subprocess.Popen([sys.executable, *words], text=True, env=environment, **pipes)


def an_address() -> str:
    return f"127.0.0.1:{free_port()}"


@dataclass
class Room:
    """In the place of a hall: holders in this process, asked one after the other."""

    terms: Terms
    rows: Sequence[Dataset]
    address: str = "here"
    answers: list[Answers] = field(default_factory=list)
    ends: list[Holder] = field(default_factory=list)

    def present(self) -> list[Seat]:
        self.answers = self.answers or [Answers(each, self.terms, "cpu") for each in self.rows]
        self.ends = self.ends or [Holder(each) for each in self.answers]
        return [Seat(number) for number in range(len(self.rows))]

    def ask(self, frames: Mapping[int, Frame], seconds: float) -> dict[int, Frame]:
        return {number: self._answer(number, frame) for number, frame in frames.items()}

    def _answer(self, number: int, frame: Frame) -> Frame:
        if frame.kind == ROUND:
            return Frame(ROUND, self.ends[number].answer(frame.body))
        self.answers[number].open(frame.body)
        return Frame(frame.kind)


def rows_of(folder: Path, terms: Terms) -> list[Dataset]:
    """Of each holder."""
    return [own_rows(Own(str(folder / f"holder-{at}.csv")), terms) for at in range(HOLDERS)]


def done_in_one_room(run: Run, folder: Path) -> None:
    """All that takes holders."""
    with pipeline.at_work(run) as bench:
        with bench.gate.opened(OWN_CODE):
            terms = federated.terms(bench.recipe, bench.task)
        room: Any = Room(terms, rows_of(folder, terms))
        bench.holders = federated.Federation(room, terms, federated.Patience(), lambda line: None)
        for name in WITH_HOLDERS:
            pipeline.run_stage(bench, name)


@contextmanager
def an_intruder(folder: Path, address: str) -> Iterator[list[DilmError]]:
    """Within, somebody tries to join with a certificate that nobody signed; what it was told then."""
    told, own = [], pair(folder, "stranger")
    shown = {"trust": folder / "server.pem", "certificate": own.certificate, "key": own.key}

    def come() -> None:
        try:
            api.join(folder / "holder-1.csv", address, wait=60, device="cpu", **shown)
        except DilmError as fault:
            told.append(fault)

    thread = threading.Thread(target=come, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        thread.join(90)
        assert not thread.is_alive()


@contextmanager
def two_holders(folder: Path, address: str) -> Iterator[None]:
    """Within, they join; all have ended when it is left."""

    def hold(at: int) -> None:
        with suppress(DilmError):
            api.join(folder / f"holder-{at}.csv", address, wait=60, device="cpu")

    threads = [threading.Thread(target=hold, args=(at,), daemon=True) for at in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
