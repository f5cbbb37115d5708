"""What is gained where texts of unlike length are read without their padding: steps of each stage, with it and without.

    .venv/bin/python benchmarks/padding.py --size small --precision bf16 --source $DILM_DATA/sst2 --record padding-small

The steps are those of limit.py, of models with random weights; their order alternates between rounds, and the figure is
the median of the ratios within a round, after one that warms up. What there is to gain depends on how unlike the rows
of the source are: `padding` is the share of it in batches of 64.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import gauges
import limit
import output
import parts

from dilm.data.load import load
from dilm.models import padding_free
from dilm.runtime.device import Place

Result = TypeVar("Result")

STAGES = ("pretrain", "life", "fit", "match", "encode", "predict", "evaluate")


def main() -> None:
    parser = limit.asking(__doc__, "small")
    parser.add_argument("--source", default="toy")
    given = parser.parse_args()
    place = limit.settled(given)
    with tempfile.TemporaryDirectory() as folder:
        works = roads(given.size, Path(folder), place, given.source)
        found = [parts.measured(name, works, gauges.clock(place.device)) for name in STAGES]
    facts = {"size": given.size, "source": Path(given.source).name, "padding": padding(given.source)}
    facts |= {"threads": given.threads, "device": str(place.device), "bf16": place.bf16}
    output.tell(given, facts | {"stages": found}, parts.told(facts, found))


def roads(size: str, folder: Path, place: Place, source: str) -> dict[str, dict[str, Callable[[], object]]]:
    """The work of every stage, with padding and without."""
    stages = partial(limit.stages, size, place=place, source=source)
    padded = with_padding(partial(stages, folder / "padded"))
    return {
        "padded": {name: partial(with_padding, work) for name, work in padded.items()},  # some open their model there
        "free": stages(folder / "free"),
    }


def with_padding(work: Callable[[], Result]) -> Result:
    """What work gives while no model is opened that can do without."""
    with patch.object(padding_free, "_layers", lambda model: None):
        return work()


def padding(source: str) -> float:
    """Share of batches of 64 rows in their order that would be padding, counted in words."""
    words = [sum(len(field.split()) for field in row.texts) for row in load(source).train.examples[:6400]]
    batches: Sequence[list[int]] = [words[first : first + 64] for first in range(0, len(words), 64)]
    return round(1 - sum(words) / sum(max(batch) * len(batch) for batch in batches), 2)


if __name__ == "__main__":
    main()
