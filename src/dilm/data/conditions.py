"""Conditions of a task whose target is text: clusters of its rows, in place of classes.

K-means on points of the train rows, deterministic by its seed; dev and test rows take the nearest centre. A condition
is called by its number and the words that are commoner in it than elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dilm.numerics.clustering import kmeans_centres
from dilm.numerics.words import Words, joined, words
from dilm.types import Dataset, Example, Splits

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Points = Callable[[Sequence[Example]], np.ndarray]
"""n examples -> [n, d], of one and the same space for all that are asked about."""

PARTS = ("train", "dev", "test")
DIMENSIONS = 32
"""Of the points that are made from words."""
FEWEST = 8
"""A cluster with less than one part in so many of an even share is given to its neighbours."""
TELLING = 3
"""Words in a condition's name."""


@dataclass(frozen=True)
class Clusters:
    """The conditions of a task's rows: a name and a centre for each, and of which every row of every split is."""

    names: tuple[str, ...]
    centres: np.ndarray
    """[k, d], in the space of `points`."""
    points: Points
    labels: Mapping[str, np.ndarray]
    """Split to the condition of each of its rows, [n]."""

    def under(self, splits: Splits) -> Splits:
        """The rows that were clustered, each under its condition."""
        task = replace(splits.task, labels=self.names)
        rows = ((getattr(splits, name), self.labels[name].tolist()) for name in PARTS)
        return Splits(*(Dataset(task, map(_under, *each)) for each in rows))

    def distances(self, rows: Dataset) -> np.ndarray:
        """From any row to every centre, squared, less a number that is the same for all centres: [n] -> [n, k]."""
        return _distances(self.points(rows), self.centres)

    def write(self, file: Path) -> None:
        """One file, from which `read` knows all of this but points that a model makes."""
        arrays: dict[str, Any] = {"names": np.array(self.names), "centres": self.centres, **self.labels}
        arrays |= self.points.arrays if isinstance(self.points, WordPoints) else {}
        # Through a handle: to a name without the ending `.npz` numpy would add it.
        with file.open("wb") as handle:
            np.savez(handle, **arrays)

    @classmethod
    def read(cls, file: Path, points: Points | None) -> Clusters:
        """What `write` wrote; `points` where a model makes them, else they are made from words."""
        with np.load(file, allow_pickle=False) as kept:
            found = points or WordPoints(tuple(kept["words"].item().split()), kept["weights"], kept["directions"])
            labels = {name: kept[name] for name in PARTS}
            return cls(tuple(kept["names"].tolist()), kept["centres"], found, labels)


@dataclass(frozen=True)
class WordPoints:
    """Latent semantic points of words (TF-IDF, then SVD), as they were learnt from train rows: of length 1, or 0."""

    words: tuple[str, ...]
    weights: np.ndarray
    """Of each word by its rarity, [V]."""
    directions: np.ndarray
    """[d, V]."""

    def __call__(self, rows: Sequence[Example]) -> np.ndarray:
        """n examples -> float32 [n, d]; words that no train row has count for nothing."""
        from sklearn.preprocessing import normalize

        return np.asarray(normalize(self._table.transform(rows) @ self.directions.T), dtype=np.float32)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All of it; no word has white space in it."""
        return {"words": np.array(" ".join(self.words)), "weights": self.weights, "directions": self.directions}

    @cached_property
    def _table(self) -> TfidfVectorizer:
        table = _table({word: place for place, word in enumerate(self.words)})
        table.idf_ = self.weights
        return table


def by_clusters(splits: Splits, points: Points, count: int, seed: int) -> Clusters:
    """At most `count` conditions of train rows; fewer where clusters would be too small to draw from."""
    of_train = points(splits.train)
    centres = _centres(of_train, count, seed)
    labels = {name: _nearest(points(getattr(splits, name)), centres) for name in PARTS[1:]}
    labels["train"] = _nearest(of_train, centres)
    return Clusters(_names(splits.train, labels["train"], len(centres)), centres, points, labels)


def word_points(train: Dataset, seed: int) -> WordPoints:
    """Points of words, learnt from train rows."""
    from sklearn.decomposition import TruncatedSVD

    table = _table()
    counted = table.fit_transform(train)
    width = len(table.vocabulary_)
    svd = TruncatedSVD(max(1, min(DIMENSIONS, width - 1)), random_state=seed % 2**32).fit(counted)
    return WordPoints(tuple(table.get_feature_names_out().tolist()), table.idf_, np.asarray(svd.components_))


def _table(vocabulary: Mapping[str, int] | None = None) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, analyzer=_said, vocabulary=vocabulary)  # type: ignore[arg-type]


def _said(row: Example) -> Words:
    return words(joined(row.texts))


def _under(row: Example, label: int) -> Example:
    return replace(row, label=label)


def _centres(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Of clusters that are large enough: [n, d] -> [k, d], k at least 2."""
    centres = kmeans_centres(points, min(count, len(points)), seed % 2**32)
    least = max(2.0, len(points) / count / FEWEST)
    while len(centres) > 2:
        sizes = np.bincount(_nearest(points, centres), minlength=len(centres))
        if sizes.min() >= least:
            break
        centres = np.delete(centres, sizes.argmin(), axis=0)
    return centres


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Number of the nearest centre: [n, d], [k, d] -> [n]."""
    return _distances(points, centres).argmin(1)


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances, but for the squared length of each point: [n, d], [k, d] -> [n, k]."""
    return np.square(centres).sum(1) - 2 * points @ centres.T


def _names(train: Dataset, labels: np.ndarray, count: int) -> tuple[str, ...]:
    """`1 pub riverside cheap`: number, then the words whose share of rows is furthest above that of all rows."""
    everywhere, within = Counter[str](), [Counter[str]() for _ in range(count)]
    sizes = np.bincount(labels, minlength=count)
    for row, label in zip(train, labels.tolist(), strict=True):
        found = {word for word in _said(row) if len(word) > 2}
        everywhere.update(found)
        within[label].update(found)

    def lead(condition: int, word: str) -> float:
        return within[condition][word] / sizes[condition] - everywhere[word] / len(train)

    return tuple(
        " ".join(
            [str(condition + 1), *sorted(within[condition], key=lambda word: (-lead(condition, word), word))[:TELLING]]
        )
        for condition in range(count)
    )
