"""What was found and where, without a word of what it was: counts by kind, split, row and field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

NOT_DP = (
    "Anonymization is not differential privacy: what no detector recognised is still there, and a person may be known "
    "by what is left."
)


@dataclass(frozen=True, slots=True)
class Place:
    """How many findings of one kind a field of a row has."""

    split: str
    row: int
    """As its reader counts."""
    field: str
    kind: str
    count: int


@dataclass(frozen=True)
class Survey:
    """The findings in a dataset."""

    operator: str
    """What became of them."""
    detectors: tuple[str, ...]
    """Which ran, and what they can find."""
    rows: Mapping[str, int]
    """Split to rows that were looked at."""
    places: tuple[Place, ...]

    @property
    def kinds(self) -> dict[str, int]:
        """Kind to findings, most first."""
        return _counted((place.kind, place.count) for place in self.places)

    @property
    def touched(self) -> dict[str, int]:
        """Split to rows with a finding."""
        found = {(place.split, place.row) for place in self.places}
        return {split: sum(name == split for name, _ in found) for split in self.rows}

    def by_kind(self) -> list[dict[str, Any]]:
        """For each kind its findings in every split."""
        return [
            {"kind": kind} | {split: self._count(kind, split) for split in self.rows} | {"all": count}
            for kind, count in self.kinds.items()
        ]

    def facts(self) -> dict[str, Any]:
        """Without the places: what stands in a manifest, a report and a card."""
        return {
            "operator": self.operator,
            "detectors": list(self.detectors),
            "rows": dict(self.rows),
            "touched": self.touched,
            "kinds": self.kinds,
            "by_kind": self.by_kind(),
            "note": NOT_DP,
        }

    def plain(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return self.facts() | {"places": [asdict(place) for place in self.places]}

    @classmethod
    def from_plain(cls, told: Mapping[str, Any]) -> Survey:
        """What `plain` said."""
        places = tuple(Place(**place) for place in told["places"])
        return cls(told["operator"], tuple(told["detectors"]), told["rows"], places)

    def _count(self, kind: str, split: str) -> int:
        return sum(place.count for place in self.places if (place.kind, place.split) == (kind, split))


def _counted(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, count in pairs:
        counts[name] += count
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
