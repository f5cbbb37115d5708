"""load: read the data, carve what is missing, note what it is. The rows themselves stay where they are."""

from __future__ import annotations

from typing import Any

from dilm.build import Bench, fingerprints


def run(bench: Bench) -> dict[str, Any]:
    """Facts: rows of each split, classes, fingerprints that later stages and a resumed run check against."""
    splits = bench.splits
    return {
        "task": splits.task.name,
        "fields": list(splits.task.fields),
        "labels": list(splits.task.labels),
        "max_tokens": splits.task.max_tokens,
        "rows": {"train": len(splits.train), "dev": len(splits.dev), "test": len(splits.test)},
        "train_counts": dict(zip(splits.task.labels, splits.train.counts, strict=True)),
        "fingerprints": fingerprints(splits),
    }
