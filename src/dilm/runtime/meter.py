"""What work costs in this process: wall clock, and the tokens that models read and wrote, padding left out."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """Seconds of the monotonic clock, and tokens."""

    seconds: float
    tokens: int

    def __sub__(self, before: Spent) -> Spent:
        return Spent(self.seconds - before.seconds, self.tokens - before.tokens)


class _Counter:
    tokens = 0


def count(tokens: int) -> None:
    """A model read or wrote so many."""
    _Counter.tokens += tokens


def spent() -> Spent:
    """So far. Only differences mean something."""
    return Spent(time.monotonic(), _Counter.tokens)
