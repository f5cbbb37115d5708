"""What an audit found, and what that means: a list of figures that are all worse the larger they are, and a verdict.

A leak is called shown only where a test says so after correction for all tests of the audit (Holm), at 5 % together. So
of audits of texts that know nothing of their rows, at most one in twenty calls a leak. That none is shown is no proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from dilm.errors import RecipeError, did_you_mean
from dilm.numerics.chances import LEVEL, holm

About = Literal["released", "pool", "generator"]
"""What an attacker would need to have."""
Unit = Literal["share", "auc", "words", "rows", "epsilon"]
Tone = Literal["good", "even", "bad", "open"]

NOT_PROOF = "That an attack fails here does not show that every one would; only differential privacy bounds them all."


@dataclass(frozen=True)
class Finding:
    """One figure. Larger is worse."""

    name: str
    """Of the threshold, as in `--fail-on NAME=THRESHOLD`."""
    title: str
    about: About
    unit: Unit
    value: float
    low: float | None = None
    """Ends of the 95 % interval, where there is one."""
    high: float | None = None
    guess: float | None = None
    """What it is where nothing leaks."""
    beside: float | None = None
    """The same of rows that nothing was trained on."""
    p: float | None = None
    """One-sided, of nothing leaking; None of a figure that is no test."""
    corrected: float | None = None
    """That p value among all of the audit's."""
    rows: str = ""
    """How many rows or texts it was measured on, in words."""

    def on(self, rows: str) -> Finding:
        """The same, measured on so many."""
        return replace(self, rows=rows)

    @property
    def flagged(self) -> bool:
        """Whether it shows a leak."""
        return self.corrected is not None and self.corrected < 1 - LEVEL


@dataclass(frozen=True)
class Verdict:
    """What to believe."""

    tone: Tone
    badge: str
    headline: str


@dataclass(frozen=True)
class Audited:
    """One audit."""

    form: str
    """`quick` or `full`."""
    findings: tuple[Finding, ...]
    rows: Mapping[str, int]
    """What was looked at: texts, rows of either kind."""
    untested: tuple[str, ...]
    """What was not tested, and why, in sentences."""
    notes: tuple[str, ...]
    """What a reader must know."""

    @classmethod
    def of(
        cls,
        form: str,
        findings: Sequence[Finding],
        rows: Mapping[str, int],
        untested: Sequence[str],
        notes: Sequence[str],
    ) -> Audited:
        """With the p values corrected for being several."""
        tests = [finding for finding in findings if finding.p is not None]
        corrected = dict(zip((each.name for each in tests), holm([each.p or 0.0 for each in tests]), strict=True))
        told = tuple(replace(each, corrected=corrected.get(each.name)) for each in findings)
        return cls(form, told, dict(rows), tuple(untested), (*notes, NOT_PROOF))

    @property
    def verdict(self) -> Verdict:
        """On what is released first, then on what made it."""
        released = self._flagged("released")
        if released:
            said = f"The released texts give away which rows were trained on: {released}."
            return Verdict("bad", "A leak was shown", said)
        inside = self._flagged("generator", "pool")
        if inside:
            return Verdict(
                "even",
                "The generator remembers rows",
                f"What the generator knows or writes gives away which rows it was trained on: {inside}. In the "
                "released texts themselves no leak was shown. Do not release the generator or its pools.",
            )
        tests = sum(each.p is not None for each in self.findings)
        if not tests:
            return Verdict(
                "open", "Nothing was tested", "There was nothing to tell trained rows from held-out ones by."
            )
        said = f"None of {tests} tests tells trained rows from held-out ones."
        return Verdict("open", "No leak was shown", said)

    def _flagged(self, *about: About) -> str:
        return "; ".join(each.title for each in self.findings if each.about in about and each.flagged)

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        findings = {each.name: asdict(each) | {"flagged": each.flagged} for each in self.findings}
        about = {name: value for name, value in asdict(self).items() if name != "findings"}
        return {"verdict": asdict(self.verdict), "findings": findings} | about


def exceeded(found: Mapping[str, Mapping[str, Any]], limits: Mapping[str, float]) -> list[str]:
    """Findings, as `plain` has them, above their limits: a sentence for each.

    What this audit did not measure exceeds every limit: a pipeline that asks for it must not pass without it.
    """
    said = []
    for name, limit in limits.items():
        if name not in found:
            said.append(f"{name} was not measured, so it is not known to be at most {limit:g}")
        elif found[name]["value"] > limit:
            said.append(f"{name} is {found[name]['value']:.3g}, above {limit:g}")
    return said


def require_known(limits: Mapping[str, float]) -> None:
    """Raise RecipeError for a limit of something that no audit measures."""
    for name in limits:
        if name not in NAMES:
            raise RecipeError(f"--fail-on does not know {name!r}.", did_you_mean(name, NAMES, "Known"))


ATTACKS = ("loss", "min_k", "reference", "aux", "bigram", "nearest")
NAMES = (
    *("copied", "near_copied", "longest_run", "five_grams", "disclosures", "nearer", "replay"),
    *("pool_copied", "pool_near_copied", "pool_longest_run", "pool_five_grams", "pool_disclosures"),
    *(f"{name}_{figure}" for name in ATTACKS for figure in ("auc", "tpr")),
    *("canaries_auc", "canaries_repeated", "epsilon", "epsilon_alone"),
)
"""Everything that an audit can measure."""
