"""What a generator's steps gain where the gradients of its vocabulary are summed in place, and autograd's way.

    .venv/bin/python benchmarks/tables.py --size small --precision bf16 --record tables-small-bf16

The steps are those of matching.py without the learner: likelihoods of real rows with their words shuffled, their
gradient, the update; of models with random weights. The order of both ways alternates between rounds, and the figure is
the median of the ratios within a round, after one that warms up.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import gauges
import matching
import matching_roads
import output
import torch

from dilm.models.reading import Reading

WAYS = ("autograd", "in place")
ROUNDS = 5


def main() -> None:
    parser = gauges.placed(output.parser(__doc__))
    parser.add_argument("--size", choices=matching.PLANS, default="small")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    place, plan, train = gauges.place(given), matching.PLANS[given.size], matching_roads.toy()
    with tempfile.TemporaryDirectory() as folder:
        matching_roads.save(plan.generator, plan.learner, train, Path(folder))
        table = matching_roads.opened(Path(folder), train, place)
        taken = measured(table, range(plan.our_steps))
    ratios = [before / now for before, now in zip(*taken.values(), strict=True)]
    found: dict[str, Any] = {
        "size": given.size,
        "times": output.spread(ratios),
        "milliseconds": {way: round(1000 * statistics.median(seconds), 1) for way, seconds in taken.items()},
        "rounds": ROUNDS,
        "threads": given.threads,
        "device": str(place.device),
        "bf16": place.bf16,
    }
    output.tell(given, found, output.figures(found))


def measured(table: matching_roads.Table, steps: range) -> dict[str, list[float]]:
    """Seconds of a step each way, round by round."""
    now = gauges.clock(table.place.device)
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    readings = {"autograd": Reading(), "in place": Reading(table.generator.model)}
    for reading in readings.values():
        reading.padding_free = None
    for number in range(ROUNDS + 1):
        for way in gauges.in_turn(WAYS, number):
            table.generator.reading = readings[way]
            several = matching_roads.written(table.train, f"{way} {number}", steps)
            seconds = gauges.seconds(lambda rows=several: matching_roads.generator_steps(table, rows, steps), now)
            taken[way].append(seconds / len(steps))
    return {way: seconds[1:] for way, seconds in taken.items()}


if __name__ == "__main__":
    main()
