"""What may be said: texts of the generator itself, refreshed now and then, drawn evenly from clusters (paper 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dilm.distillation.generate import is_well_formed
from dilm.errors import ModelError
from dilm.numerics.clustering import kmeans_labels
from dilm.protocols import Encoder, Generator
from dilm.runtime.seeding import derive, numpy_stream, torch_stream
from dilm.types import Example

Clustering = Callable[[Sequence[Example], int], np.ndarray]
"""(n examples, seed) -> cluster number of each, [n]."""


@dataclass
class Refreshed:
    """Every `refresh_every` steps the generator writes enough texts for the steps until the next time.

    A mini-batch takes texts from all clusters in turn, so that it shows the generator's whole range.
    """

    generator: Generator
    clustering: Clustering
    size: int
    refresh_every: int
    seed: int
    pools: dict[int, list[list[Example]]] = field(default_factory=dict)
    pooled_at: dict[int, int] = field(default_factory=dict)

    def __call__(self, condition: int, step: int) -> Sequence[Example]:
        """`size` examples of the condition."""
        refresh = step // self.refresh_every * self.refresh_every
        if self.pooled_at.get(condition) != refresh:
            self.pools[condition] = self._write(condition, refresh)
            self.pooled_at[condition] = refresh
        return self.pools[condition][step - refresh]

    def _write(self, condition: int, refresh: int) -> list[list[Example]]:
        """Mini-batches for the steps until the next refreshment."""
        rng = torch_stream(self.seed, "proposals", condition, refresh)
        drafts = self.generator.sample(condition, self.size * self.refresh_every, rng)
        task = self.generator.task
        texts = [Example(draft.texts, condition) for draft in drafts if is_well_formed(draft, task)]
        if not texts:
            raise ModelError(
                f"None of {len(drafts)} texts written for class {task.labels[condition]!r} was well-formed.",
                "Train it longer (`--set fit.steps=...`), or allow longer texts (`--set models.max_tokens=...`).",
            )
        clusters = self.clustering(texts, derive(self.seed, "clusters", condition, refresh))
        order = balanced_order(clusters, numpy_stream(self.seed, "balance", condition, refresh))
        needed = self.size * self.refresh_every
        queue = [texts[row] for row in np.resize(order, needed)]  # repeats where too few were well-formed
        return [queue[first : first + self.size] for first in range(0, needed, self.size)]


def balanced_order(clusters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An order of all rows that visits the clusters in turn, shuffled within each: [n] -> [n].

    >>> 3 in balanced_order(np.array([0, 0, 0, 1]), np.random.default_rng(0))[:2].tolist()
    True
    """
    shuffled = rng.permutation(len(clusters))
    turn = np.empty(len(clusters), dtype=int)
    for cluster in np.unique(clusters):
        members = shuffled[clusters[shuffled] == cluster]
        turn[members] = np.arange(len(members))
    return shuffled[np.argsort(turn[shuffled], kind="stable")]


def cluster_by(encoder: Encoder, clusters: int) -> Clustering:
    """K-means over an encoder's points; with one cluster every batch is plain random."""

    def clustering(examples: Sequence[Example], seed: int) -> np.ndarray:
        if clusters <= 1:
            return np.zeros(len(examples), dtype=int)
        return kmeans_labels(encoder.encode(examples), clusters, seed)

    return clustering
