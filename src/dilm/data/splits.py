"""Carving one split out of another: stratified by class, seeded, and never a text on both sides."""

from __future__ import annotations

from collections.abc import Sequence

from dilm.runtime.seeding import python_stream
from dilm.types import Dataset

KEPT = 2
"""Rows of every class that carving leaves behind."""


def carve(dataset: Dataset, rows: int, seed: int) -> tuple[Dataset, Dataset]:
    """About `rows` rows in the classes' proportions, the others first: n rows -> (n - m rows, m rows).

    Rows with the same texts stay together. Every class of three rows or more gives at least one (unless all its texts
    are equal) and keeps at least two, so m may differ from `rows` by a few. Both sides keep the order of `dataset`.
    """
    carved: set[int] = set()
    quotas = _quotas(dataset.counts, rows)
    for label, groups in _groups(dataset).items():
        python_stream(seed, "carve", label).shuffle(groups)
        carved.update(_fill(groups, quotas[label]))
    rest = [position for position in range(len(dataset)) if position not in carved]
    return dataset.take(rest), dataset.take(sorted(carved))


def _quotas(counts: Sequence[int], rows: int) -> list[int]:
    """How many rows each class gives: its share by largest remainder, at least one, leaving `KEPT` behind.

    >>> _quotas([60, 30, 3, 2], 10)
    [7, 3, 1, 0]
    """
    if rows <= 0:
        return [0] * len(counts)
    shares = [count * rows / sum(counts) for count in counts]
    quotas = [int(share) for share in shares]
    by_remainder = sorted(range(len(counts)), key=lambda label: (quotas[label] - shares[label], label))
    for label in by_remainder[: rows - sum(quotas)]:
        quotas[label] += 1
    return [max(0, min(max(quota, 1), count - KEPT)) for quota, count in zip(quotas, counts, strict=True)]


def _groups(dataset: Dataset) -> dict[int, list[list[int]]]:
    """For each class its groups of rows with equal texts; a text with two labels counts with its first row's class."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for position, example in enumerate(dataset):
        groups.setdefault(example.texts, []).append(position)
    found: dict[int, list[list[int]]] = {}
    for group in groups.values():
        found.setdefault(dataset.examples[group[0]].label, []).append(group)
    return found


def _fill(groups: Sequence[Sequence[int]], quota: int) -> Sequence[int]:
    """Rows of whole groups, in order, that fit into the quota; if none fits, the smallest group that leaves `KEPT`."""
    filled: list[int] = []
    for group in groups:
        if len(filled) + len(group) <= quota:
            filled.extend(group)
    smallest = min(groups, key=len)
    spare = sum(map(len, groups)) - len(smallest)
    return filled if filled or not quota or spare < KEPT else smallest
