"""load: read the data, carve what is missing, note what it is. The rows themselves stay where they are.

Where rows are anonymized, it notes what was found and where, and nothing of what it was.
"""

from __future__ import annotations

import json
from typing import Any

from dilm import cleaning, federated, private
from dilm.build import Bench, fingerprints
from dilm.runs import write_text
from dilm.stages.fitting import require_all, require_several

FINDINGS = "findings.json"
"""In the stage's folder: every finding's split, row, field and kind."""


def run(bench: Bench) -> dict[str, Any]:
    """Facts: rows of each split, classes, fingerprints that later stages and a resumed run check against."""
    require_several(bench.recipe)
    splits = bench.splits.all()
    require_all(bench.recipe, splits, bench.clusters)
    return {
        "task": splits.task.name,
        "fields": list(splits.task.fields),
        "labels": list(splits.task.labels),
        "max_tokens": splits.task.max_tokens,
        "rows": {"train": len(splits.train), "dev": len(splits.dev), "test": len(splits.test)},
        "train_counts": dict(zip(splits.task.labels, splits.train.counts, strict=True)),
        "fingerprints": fingerprints(splits),
        **_anonymized(bench),
        **_held(bench),
        **_longer(bench),
    }


def _longer(bench: Bench) -> dict[str, Any]:
    """The share of train rows that have more words than texts may have tokens; no promise of privacy covers it."""
    train, longest = bench.splits.train, bench.splits.task.max_tokens
    if private.wanted(bench.recipe):
        return {}
    longer = sum(sum(len(text.split()) for text in row.texts) > longest for row in train)
    return {"longer": longer / len(train)}


def _held(bench: Bench) -> dict[str, Any]:
    """How many rows data holders have together, where that is who has them; those above are the server's own."""
    if not federated.wanted(bench.recipe):
        return {}
    asked = bench.recipe.federation
    return {"federation": {"clients": asked.clients, "noise": asked.noise, "rows": federated.holders(bench).count()}}


def _anonymized(bench: Bench) -> dict[str, Any]:
    """What was found, in counts; which detectors ran; and what a later process knows the salt by."""
    if bench.survey is None:
        return {}
    write_text(bench.folder("load") / FINDINGS, json.dumps(bench.survey.plain(), indent=1))
    return {"anonymized": bench.survey.facts() | {"salt": cleaning.salt_mark(cleaning.salt(bench.recipe))}}
