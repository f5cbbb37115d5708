"""Conditions of a task whose target is text: clusters of its rows, in place of classes.

K-means on points of the train rows, deterministic by its seed; dev and test rows take the nearest centre. A condition
is called by its number and the words that are commoner in it than elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dilm.numerics.clustering import kmeans_centres
from dilm.numerics.words import Words, joined, words
from dilm.types import Dataset, Example, Splits

Points = Callable[[Sequence[Example]], np.ndarray]
"""n examples -> [n, d], of one and the same space for all that are asked about."""

DIMENSIONS = 32
"""Of the points that are made from words."""
FEWEST = 8
"""A cluster with less than one part in so many of an even share is given to its neighbours."""
TELLING = 3
"""Words in a condition's name."""


def by_clusters(splits: Splits, points: Points, count: int, seed: int) -> Splits:
    """The same rows under at most `count` conditions; fewer where clusters would be too small to draw from."""
    centres = _centres(points(splits.train), count, seed)
    found = {name: _nearest(points(getattr(splits, name)), centres) for name in ("train", "dev", "test")}
    task = replace(splits.task, labels=_names(splits.train, found["train"], len(centres)))
    return Splits(
        *(Dataset(task, map(_under, getattr(splits, name), labels.tolist())) for name, labels in found.items())
    )


def word_points(train: Dataset, seed: int) -> Points:
    """Latent semantic points of words (TF-IDF, then SVD), learnt from train rows; each of length 1, or 0."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    weights = TfidfVectorizer(sublinear_tf=True, analyzer=_said)  # type: ignore[arg-type]
    width = len(weights.fit(train).vocabulary_)
    svd = TruncatedSVD(max(1, min(DIMENSIONS, width - 1)), random_state=seed % 2**32)
    pipeline = make_pipeline(weights, svd, Normalizer()).fit(train)
    return lambda rows: np.asarray(pipeline.transform(rows), dtype=np.float32)


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
    return (np.square(centres).sum(1) - 2 * points @ centres.T).argmin(1)


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
