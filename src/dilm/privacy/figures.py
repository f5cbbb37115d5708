"""From what was counted to findings: named figures with their intervals, and with what they are where nothing leaks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dilm.privacy import epsilon
from dilm.privacy.copying import Copying
from dilm.privacy.disclosures import Disclosures
from dilm.privacy.findings import About, Finding
from dilm.privacy.membership import FEW_FALSE, attack
from dilm.privacy.replay import Replay

PARTS: Mapping[About, str] = {"released": "", "pool": "pool_"}
"""What the names of figures begin with."""


def told_apart(name: str, by: str, about: About, members: np.ndarray, others: np.ndarray) -> tuple[Finding, Finding]:
    """What scores give away of who was trained on: [m], [n]."""
    found = attack(members, others)
    rows = f"{found.members:,} trained, {found.others:,} held out"
    area = Finding(
        f"{name}_auc", f"told apart by {by}", about, "auc", found.auc, found.auc_low, found.auc_high, 0.5, p=found.p
    )
    few = Finding(
        f"{name}_tpr",
        f"trained rows found at {100 * FEW_FALSE:.0f} % false alarms by {by}",
        about,
        "share",
        found.tpr,
        found.tpr_low,
        found.tpr_high,
        FEW_FALSE,
    )
    return area.on(rows), few.on(rows)


def repeated(about: About, found: Copying) -> list[Finding]:
    """What texts share with as many rows of either kind."""
    prefix, rows = PARTS[about], f"{found.texts:,} texts, {found.rows:,} rows a side"
    ours, theirs = found.trained, found.held_out
    title, chance = "texts that nearly repeat a trained row", theirs.share
    p = found.p if ours.hit + theirs.hit else None
    fives = [0.0 if side.fives is None else side.fives for side in (ours, theirs)]
    told = [
        Finding(f"{prefix}near_copied", title, about, "share", ours.share, ours.low, ours.high, chance, chance, p),
        Finding(
            f"{prefix}longest_run",
            "longest run of words from one trained row",
            about,
            "words",
            ours.longest,
            guess=theirs.longest,
            beside=theirs.longest,
        ),
        Finding(
            f"{prefix}five_grams",
            "runs of five words that a trained row has, too",
            about,
            "share",
            fives[0],
            guess=fives[1],
            beside=fives[1],
        ),
    ]
    return [each.on(rows) for each in told]


def copied(about: About, found: Disclosures) -> Finding:
    """How many trained rows are repeated word for word."""
    return Finding(
        f"{PARTS[about]}copied",
        "trained rows that a text repeats word for word",
        about,
        "rows",
        found.true,
        guess=found.phantom * found.trained / found.held_out,
        beside=found.phantom,
        p=_test(found.p, found.true + found.phantom),
    ).on(f"{found.trained:,} trained, {found.held_out:,} held out")


def disclosed(about: About, found: Disclosures, span: int) -> Finding:
    """How far the share of trained rows among those hit is above what chance gives."""
    return Finding(
        f"{PARTS[about]}disclosures",
        f"rows disclosed by {span} words of theirs alone: the share of trained ones, above chance",
        about,
        "share",
        0.0 if found.share is None else found.share - found.expected,
        found.low - found.expected,
        found.high - found.expected,
        0.0,
        p=_test(found.p, found.true + found.phantom),
    ).on(f"{found.true:,} of {found.trained:,} trained, {found.phantom:,} of {found.held_out:,} held out")


def nearer(ratio: tuple[float, float, float], rows: str) -> Finding:
    """From the ratio of distances with its ends; no test, for texts are alike."""
    title = "how much nearer the nearest trained row is than the nearest held-out one"
    value, high, low = (1 - end for end in ratio)
    return Finding("nearer", title, "released", "share", value, low, high, 0.0).on(rows)


def replayed(found: Replay, texts: int) -> Finding:
    """Secrets, in counts."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.kinds)
    by = "; ".join(title.partition(":")[0] for title in found.detectors)
    alone = f": {kinds} of train rows alone" if kinds else ""
    return Finding(
        "replay",
        "secrets that stand in trained rows and in no held-out one",
        "released",
        "rows",
        found.trained,
        guess=found.held_out,
        beside=found.held_out,
        p=_test(found.p, found.trained + found.held_out),
    ).on(f"{found.found:,} different secrets in {texts:,} texts{alone}; looked for by {by}")


def bounds(scores: np.ndarray, inside: np.ndarray, delta: float) -> list[Finding]:
    """What scores of canaries, [m], say of ε, given which were in, [m]; some must be in and some out."""
    members, others = scores[inside], scores[~inside]
    area, _ = told_apart("canaries", "the likelihood of canaries", "generator", members, others)
    middle = float(np.median(scores))
    found, wrong = int((members > middle).sum()), int((others > middle).sum())
    alone = epsilon.from_rates(found, len(members), wrong, len(others), delta)
    told, p = epsilon.from_scores(scores, inside, delta), epsilon.from_scores_p(scores, inside)
    rows = f"{len(members):,} in, {len(others):,} out, δ {delta:g}"
    title = "ε is at least, by guesses about the canaries of one run"
    return [
        area,
        Finding("epsilon", title, "generator", "epsilon", told, guess=0.0, p=p).on(rows),
        Finding(
            "epsilon_alone", "the same if no canary influenced another", "generator", "epsilon", alone, guess=0.0
        ).on(rows),
    ]


def extracted(inside: int, outside: int, texts: int) -> Finding:
    """Ends of canaries that the pool writes, of those that were in and of those that were not."""
    title = "canaries whose end the pool repeats"
    return Finding("canaries_repeated", title, "pool", "rows", inside, guess=float(outside), beside=outside).on(
        f"{texts:,} texts"
    )


def _test(p: float, hit: int) -> float | None:
    """Where nothing is hit there is nothing to test, and other tests need not be corrected for it (Tarone 1990)."""
    return p if hit else None
