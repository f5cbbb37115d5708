"""DD-Ranking's scores of a run, learner by learner, in words and with their parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dilm.numerics.robustness import AugmentationRobust, LabelRobust, augmentation_robust, label_robust
from dilm.reports import methods, wording
from dilm.reports.findings import Block, Findings, blocks


@dataclass(frozen=True, slots=True)
class Robustness:
    """Both scores of one learner and size; None where not everything that a score needs was measured."""

    learner: str
    per_class: int
    labels: LabelRobust | None
    augmentation: AugmentationRobust | None


def robustness(findings: Findings) -> tuple[Robustness, ...]:
    """Of every learner and size that was trained on variants of the sets."""
    found = (Robustness(block.learner, block.per_class, _labels(block), _texts(block)) for block in blocks(findings))
    return tuple(each for each in found if each.labels or each.augmentation)


def sentences(findings: Findings) -> tuple[str, ...]:
    """The same, a sentence for each score."""
    return tuple(line for each in robustness(findings) for line in _told(each))


def _told(found: Robustness) -> Iterator[str]:
    if found.labels:
        yield (
            f"{found.learner}: label-robust score {found.labels.score:.3f} "
            f"({wording.points(found.labels.gained)} points against random rows, both with a teacher's soft labels; "
            f"{wording.points(-found.labels.lost)} against full data, both with hard ones)."
        )
    if found.augmentation:
        yield (
            f"{found.learner}: augmentation-robust score {found.augmentation.score:.3f} "
            f"({wording.points(found.augmentation.augmented)} points against random rows, both augmented; "
            f"{wording.points(found.augmentation.plain)} without)."
        )


def _labels(block: Block) -> LabelRobust | None:
    means = _means(block, methods.OURS, methods.CEILING, f"{methods.OURS}+soft", f"{methods.RANDOM}+soft")
    return label_robust(*means) if means else None


def _texts(block: Block) -> AugmentationRobust | None:
    means = _means(block, methods.OURS, methods.RANDOM, f"{methods.OURS}+augmented", f"{methods.RANDOM}+augmented")
    return augmentation_robust(*means) if means else None


def _means(block: Block, *names: str) -> list[float]:
    """The means of these methods, or nothing where one is missing."""
    bars = [block.find(name) for name in names]
    return [bar.mean for bar in bars if bar] if all(bars) else []
