"""audit: what the product, its pool and its generator give away of the rows; audit.json says it, figure by figure.

No file of this stage holds a text: what is found is counted. The figures themselves were made from real rows without a
privacy mechanism.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dilm import federated, planting
from dilm.build import Bench
from dilm.errors import DataError, ModelError
from dilm.privacy.disclosures import comparable
from dilm.privacy.findings import Audited, Finding
from dilm.runs import write_text
from dilm.runtime.seeding import python_stream
from dilm.stages import attacks
from dilm.stages.attacks import Sides
from dilm.stages.generate import pool
from dilm.stages.select import released_texts
from dilm.types import Dataset

AUDIT = "audit.json"
"""In the stage's folder."""
FORMS = QUICK, FULL = "quick", "full"

Attack = Callable[[Bench, Sides], Sequence[Finding]]
ATTACKS: Mapping[str, Attack] = {
    "Copying": attacks.of_copying,
    "Membership from the released texts": attacks.of_released_texts,
    "Replay of personal data": attacks.of_replay,
    "Membership from the generator": attacks.of_generator,
    "Canaries": attacks.of_canaries,
}
OWN_FIGURES = "The audit reads real rows without a privacy mechanism: no ε covers the figures that it tells."
ABOUT_DEV = (
    "Dev rows were carved from train at random. Their scores stop `fit` and may have chosen a checkpoint of `match`, "
    "so the generator may like them a little better than rows it never met: a leak looks smaller."
)
ABOUT_TEST = (
    "Test rows met no training and no choice. Where the source has a test split of its own, they may differ from train "
    "rows in more than that: what looks like a leak may be that difference."
)
NOT_TRIED = (
    "Attacks that train many generators (such as LiRA), that ask about a person with several rows, or that know more "
    "than the rows themselves, were not tried.",
    "Only the first set, which is the product, was audited; other sets of this run were not.",
)
ELSEWHERE = (
    "All attacks: the rows are with their data holders, and none is here to ask about. Each holder can compare the "
    "released texts with its own rows; nobody has done that."
)


@dataclass
class Book:
    """What is found, and what could not be."""

    findings: list[Finding] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def attempt(self, what: str, measure: Attack, bench: Bench, rows: Sides) -> None:
        """Take note of findings, or of why there are none."""
        if not len(rows.members):
            self.untested.append(f"{what}: nothing is left on one side, once rows that stand on both are left out.")
            return
        try:
            self.findings += measure(bench, rows)
        except (DataError, ModelError) as fault:
            self.untested.append(f"{what}: {fault.problem}")


def run(bench: Bench, form: str = QUICK) -> dict[str, Any]:
    """Facts: the verdict, and every figure by its name. Everything else stands in audit.json."""
    told = (_untried(bench, form) if federated.wanted(bench.recipe) else look(bench, sides(bench, form))).plain()
    write_text(bench.folder("audit") / AUDIT, json.dumps(told, indent=1, ensure_ascii=False))
    facts = {"form": form, "verdict": told["verdict"]["badge"], "headline": told["verdict"]["headline"]}
    return facts | {"figures": {name: finding["value"] for name, finding in told["findings"].items()}}


def _untried(bench: Bench, form: str) -> Audited:
    """Of rows that are not here: no attack has anything to ask about."""
    return Audited.of(form, [], {"released texts": len(released_texts(bench))}, [ELSEWHERE], [])


def look(bench: Bench, rows: Sides) -> Audited:
    """Try every attack on these rows."""
    book = Book()
    for what, measure in ATTACKS.items():
        book.attempt(what, measure, bench, rows)
    counts = {
        "released texts": len(rows.released),
        "texts of the pool": len(rows.pool),
        "trained rows": len(rows.members),
        "held-out rows": len(rows.others),
        "all trained rows": len(rows.train),
        "all held-out rows": len(rows.held_out),
    }
    untested = (*book.untested, *attacks.untested(bench, rows.form), *NOT_TRIED)
    notes = (*_about_rows(bench, rows), *attacks.notes(bench), OWN_FIGURES)
    return Audited.of(rows.form, book.findings, counts, untested, notes)


def audited(bench: Bench) -> dict[str, Any] | None:
    """What the finished stage found; None where it is not complete."""
    folder = bench.run.stage("audit")
    return json.loads((folder.path / AUDIT).read_text("utf-8")) if folder.manifest else None


def sides(bench: Bench, form: str) -> Sides:
    """The rows that a run is audited on: drawn by its seed, as many of either kind."""
    wanted, seed = bench.recipe.audit, bench.recipe.seed
    whole, rows = planting.real_rows(bench.recipe, bench.splits.train), _held_out(bench)
    ours, theirs = comparable(attacks.as_texts(whole), attacks.as_texts(rows))
    train, held_out = whole.take(ours), rows.take(theirs)
    most = len(held_out) if form == FULL else wanted.rows
    count = min(most, len(train), len(held_out))
    written = pool(bench, "dilm", 0)
    return Sides(
        form,
        train.sample(count, python_stream(seed, "audit", "trained")),
        held_out.sample(count, python_stream(seed, "audit", "held out")),
        train,
        held_out,
        released_texts(bench),
        written if form == FULL else written.sample(wanted.rows, python_stream(seed, "audit", "pool")),
    )


def _held_out(bench: Bench) -> Dataset:
    """All rows that nothing was trained on and that are asked about."""
    splits, wanted = bench.splits, bench.recipe.audit.held_out
    return Dataset(splits.task, (*splits.dev, *splits.test)) if wanted == "both" else getattr(splits, wanted)


def _about_rows(bench: Bench, rows: Sides) -> list[str]:
    """Who stands for rows that nothing was trained on, and what may be wrong with them."""
    wanted, whole = bench.recipe.audit.held_out, len(_held_out(bench))
    name = "dev and test" if wanted == "both" else wanted
    said = [f"Rows that nothing was trained on are {len(rows.others):,} of {whole:,} {name} rows."]
    said += [ABOUT_DEV] if wanted != "test" else []
    said += [ABOUT_TEST] if wanted != "dev" else []
    said.append(
        f"As many of {len(rows.train):,} train rows were asked about. A leak that is smaller than the intervals are "
        "wide would have been overlooked; the more rows are held out, the narrower they are."
    )
    if whole > len(rows.held_out):
        left = whole - len(rows.held_out)
        said.append(f"{left:,} held-out rows were left out, and train rows alike: another row has the same words.")
    return said
