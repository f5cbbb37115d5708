"""The gate between real rows and whoever reads them: nobody passes without saying what for.

It keeps honest code honest and leaves a trace. It is no wall: code in the same process can always go around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields

from dilm.errors import AccessError
from dilm.types import Dataset, Splits, Task


@dataclass(frozen=True)
class Purpose:
    """Who reads, and which splits what for: `{"train": "train the generator"}`. Other splits stay closed."""

    who: str
    reads: Mapping[str, str]


class Gate:
    """Open for one purpose at a time. `note(purpose, split)` is told of each split that a purpose reads, the first time
    and before anybody has a row of it.
    """

    def __init__(self, note: Callable[[Purpose, str], None], purpose: Purpose | None = None) -> None:
        self._note = note
        self._purpose = purpose
        self._noted: set[str] = set()

    @contextmanager
    def opened(self, purpose: Purpose) -> Iterator[None]:
        """Within, rows are read for this purpose and no other."""
        before = self._purpose, self._noted
        self._purpose, self._noted = purpose, set()
        try:
            yield
        finally:
            self._purpose, self._noted = before

    def purpose(self) -> Purpose:
        """The purpose at hand. Raises AccessError where nobody named one."""
        if self._purpose is None:
            raise AccessError(
                "Real rows are asked for, and nobody said what for.",
                "Read them in a stage, or open the gate first: `with bench.gate.opened(Purpose(...))`.",
            )
        return self._purpose

    def let(self, split: str) -> None:
        """Return where the purpose at hand covers this split, which is noted. Raises AccessError where it does not."""
        purpose = self.purpose()
        if split not in purpose.reads:
            covered = ", ".join(purpose.reads) or "none"
            raise AccessError(
                f"{purpose.who!r} asks for {split} rows, but declared to read: {covered}.",
                "Say what they are for (a stage: in `TOUCHES` of dilm/journal.py), or do without them.",
            )
        if split not in self._noted:
            self._note(purpose, split)
            self._noted.add(split)


@dataclass(frozen=True)
class Guarded:
    """Splits behind a gate. The task, which is no row, is free for everyone with a purpose."""

    gate: Gate
    open: Callable[[], Splits]
    """Reads the splits from their source, at least the first time."""

    @property
    def task(self) -> Task:
        self.gate.purpose()
        return self.open().task

    @property
    def train(self) -> Dataset:
        return self._past("train")

    @property
    def dev(self) -> Dataset:
        return self._past("dev")

    @property
    def test(self) -> Dataset:
        return self._past("test")

    def all(self) -> Splits:
        """Every split, each past the gate."""
        return Splits(*(self._past(split.name) for split in fields(Splits)))

    def _past(self, split: str) -> Dataset:
        self.gate.let(split)
        return getattr(self.open(), split)
