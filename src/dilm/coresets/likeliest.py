"""Rank by generator: the rows that a language model finds likeliest under their own label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from dilm.coresets.classwise import class_by_class, require_rows
from dilm.protocols import Generator
from dilm.types import Dataset, Selection


@dataclass(frozen=True)
class Likeliest:
    """The rows of least negative log-likelihood of each class, likeliest first; equals in the order of the pool."""

    generator: Generator
    batch: int = 64
    """Rows scored at once: changes speed and memory, not the selection."""
    varies: ClassVar[bool] = False

    def __call__(self, pool: Dataset, per_class: int, rng: np.random.Generator) -> Selection:
        """`per_class` distinct rows of every class, class by class; `rng` is not used."""
        require_rows(pool, per_class)
        nll = self._nll(pool)
        return class_by_class(pool, per_class, lambda rows: np.argsort(nll[rows], kind="stable")[:per_class])

    @torch.no_grad()
    def _nll(self, pool: Dataset) -> np.ndarray:
        """float32 [n]; texts of like length share a batch, so that little of it is padding."""
        order = sorted(range(len(pool)), key=lambda position: sum(map(len, pool.examples[position].texts)))
        nll = np.empty(len(pool), dtype=np.float32)
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            nll[rows] = self.generator.nll(pool.take(rows)).float().cpu().numpy()
        return nll
