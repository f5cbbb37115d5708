"""What was measured of a pool, kept for whoever chooses several sets from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from dilm.types import Dataset

T = TypeVar("T")


class Last(Generic[T]):
    """A measure of pools that is taken once of the same rows, as long as no other pool comes between."""

    def __init__(self, measure: Callable[[Dataset], T]) -> None:
        self.measure = measure
        self._known: tuple[str, T] | None = None

    def __call__(self, pool: Dataset) -> T:
        if self._known is None or self._known[0] != pool.fingerprint:
            self._known = pool.fingerprint, self.measure(pool)
        return self._known[1]
