"""Seconds and memory of a matching stage: the plain published method against ours, same models, same texts.

    .venv/bin/python benchmarks/matching.py --size tiny --json

The plain road (`plain_method.py`) is the published one on transformers alone: 20 learner steps of 64 real rows before
every matching step, gradients of 200 real rows by a backward pass through the learner, those of the synthetic texts by
one that keeps its graph, texts padded to the longest of their batch and written by `generate`. Ours is `dilm match`: a
bank of learner lives on disk, teacher gradients remembered, head gradients in closed form, its own sampler. Models have
random weights. Texts to be matched are real rows with their words shuffled, since random models write random lengths;
no text of a timed step was read before. What writing takes is measured apart, on a model of the generator's shape that
ends its texts (`sampling.py`), for as many tokens as the matched texts have.

`speedup` is that of the paper's stage: 20,000 steps, for ours 10 lives of 10 ages, for both 10 teacher sets. It is put
together from the measured seconds of a step (its teachers known, its learner's age put back from the bank), of writing
its texts, of growing by one age and of a teacher gradient, each as often as the stage needs it. `speedup_short` is the
same for the recipe's default, 40 steps and a bank of one life from nothing; `speedup_step` that of one step whose
learner and teachers are known, without writing. `bound` is that of a road on which nothing takes time but the
generator's own work: it writes the texts and is trained on them; `bound_reading` that of one where the learner reads
them, too, once and without a backward pass. `speedup_frugal` is that of ours with activations computed again
(`runtime.recompute`). The roads' order alternates between rounds; the figures are medians over rounds of ratios within
a round, ranges their least and most. `causes` are shares of a plain step that each difference saves.

`megabytes` is the most that a process with one road alone holds in a few steps, less what it held when libraries and
texts were loaded and no model was open: weights, gradients, optimisers, activations, and for ours the untouched copy of
the learner, which is in a file where activations are computed again, and the growing of its bank; writing is left out.
It is the resident size, on a GPU what torch has there. The plain road opens its models by transformers, ours by
`CausalGenerator` and `Classifier`, from folders that another process wrote. `memory_ratio` is ours to plain, the median
over repetitions, each in processes of its own.
`memory_bound` is that of a road which holds the generator's weights, their gradient and Adam's two moments, and the
learner's weights: no activation, no copy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

import gauges
import matching_roads as roads
import output
import torch
from matching_roads import Table, Written
from plain_method import REAL, SYNTHETIC, PlainMethod
from sampling import Job, Shape, ending
from sampling import ours as write_ours
from sampling import theirs as write_plainly

from dilm.distillation.targets import mean_gradient
from dilm.models.causal import CausalGenerator
from dilm.runtime.device import Place
from dilm.runtime.memory import give_back


@dataclass(frozen=True)
class Plan:
    """The shapes of both models, and how much is measured."""

    generator: Shape
    learner: Shape
    our_steps: int
    written: int
    """Texts that are written at once: the more, the better for both roads, and the longer it takes."""
    rounds: int
    memories: int = 1
    """Repetitions of the memory of a road."""
    warm_ups: int = 1
    """Plain steps before those that count; none where a step takes minutes."""
    ages: int = 3
    """Of the life that is trained here; what one costs does not depend on their number."""


PLANS = {
    "tiny": Plan(
        Shape(2, 128, 4, 4000), Shape(2, 128, 4, 4000), our_steps=3, written=128, rounds=3, memories=3, ages=2
    ),
    "small": Plan(Shape(6, 384, 12, 30522), Shape(6, 384, 12, 30522), our_steps=5, written=128, rounds=3),
    "base": Plan(
        *(Shape(12, 768, 12, 50257), Shape(12, 768, 12, 30522)),
        our_steps=3,
        written=64,
        rounds=1,
        warm_ups=0,
        ages=2,
    ),
    "least": Plan(Shape(1, 32, 2, 2000), Shape(1, 32, 2, 2000), our_steps=1, written=8, rounds=2, ages=2),
}
"""`tiny` as in the demo, `small` like MiniLM-L6, `base` like GPT-2 and BERT-base, `least` for the tests."""


@dataclass(frozen=True)
class Stage:
    """How often a stage does what is done once."""

    steps: int
    lives: int
    ages: int
    sets: int

    def seconds(self, part: dict[str, float], step: str = "our_step") -> float:
        """Of a step of ours, with its share of the bank and of the teachers' gradients."""
        states = self.lives * self.ages * self.sets
        met = states * (1 - (1 - 1 / states) ** self.steps)  # of those drawn again and again, the expected number
        once = self.lives * (self.ages - 1) * part["our_age"] + met * part["our_teachers"]
        return part[step] + part["our_writing"] + once / self.steps


UNAVOIDABLE = ("generator_step", "our_writing", "our_synthetic")
"""What no matching can do without, once the learner's ages and teachers are known."""

PAPER, SHORT = Stage(20_000, 10, 10, 10), Stage(40, 1, 5, 3)


@dataclass(frozen=True)
class Round:
    """What every measurement of a round needs."""

    table: Table
    road: PlainMethod
    plan: Plan
    number: int
    now: Callable[[], float]

    def seconds(self, work: Callable[[], object]) -> float:
        return gauges.seconds(work, self.now)

    def unread(self, series: str) -> Written:
        """Texts that nobody has read, for as many steps as ours walks."""
        return roads.written(self.table.train, f"{series} {self.number}", range(self.plan.our_steps))


def main() -> None:
    parser = gauges.placed(output.parser(__doc__))
    parser.add_argument("--size", choices=PLANS, default="tiny")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: torch's choice")
    parser.add_argument(
        "--clock", choices=gauges.CLOCKS, default="wall", help="cpu: of this process, on a busy machine"
    )
    parser.add_argument("--memory-of", choices=("plain", "ours", "frugal"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    place = gauges.place(given)
    if given.memory_of:
        print(roads.memory_of(given.memory_of, given.folder, place))
        return
    found = measured(given, place)
    output.tell(given, found, output.figures(found))


def measured(given: argparse.Namespace, place: Place) -> dict[str, object]:
    """Every figure of one size."""
    plan, train = PLANS[given.size], roads.toy()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        roads.save(plan.generator, plan.learner, train, folder)
        megabytes = memories(given, plan, folder)
        table = roads.opened(folder, train, place)
        road, now = roads.plain(table), gauges.clock(place.device, given.clock)
        for step in range(plan.warm_ups):
            road.step(step, roads.texts(roads.written(train, "warm up", range(plan.warm_ups)), step))
        rounds = [parts(Round(table, road, plan, number, now)) for number in range(plan.rounds)]
    return {
        "size": given.size,
        **speeds(rounds),
        **memory_figures(megabytes),
        "memory_bound": round(held(table) / statistics.median(megabytes["plain"]), 3),
        "causes": {name: _median(each[name] for each in map(causes, rounds)) for name in causes(rounds[0])},
        "milliseconds": {name: round(1000 * statistics.median(r[name] for r in rounds), 1) for name in rounds[0]},
        "megabytes": {name: statistics.median(several) for name, several in megabytes.items()},
        "rounds": plan.rounds,
        "memory_repetitions": plan.memories,
        "threads": torch.get_num_threads(),
        "clock": given.clock,
        "device": str(place.device),
        "bf16": place.bf16,
    }


def speeds(rounds: Sequence[dict[str, float]]) -> dict[str, object]:
    """Ratios of the plain road's seconds to ours."""
    paper = [ratio(each, PAPER.seconds(each)) for each in rounds]
    return {
        "speedup": round(statistics.median(paper), 2),
        "speedup_range": [round(min(paper), 2), round(max(paper), 2)],
        "speedup_short": _median(ratio(each, SHORT.seconds(each)) for each in rounds),
        "speedup_step": _median(each["plain_step"] / each["our_step"] for each in rounds),
        "speedup_frugal": _median(ratio(each, PAPER.seconds(each, "frugal_step")) for each in rounds),
        "bound": _median(ratio(each, each["generator_step"] + each["our_writing"]) for each in rounds),
        "bound_reading": _median(ratio(each, sum(each[part] for part in UNAVOIDABLE)) for each in rounds),
    }


def ratio(part: dict[str, float], ours: float) -> float:
    """Of the plain stage to ours, for a step: nothing of the plain one is done once."""
    return (part["plain_step"] + part["plain_writing"]) / ours


def memory_figures(megabytes: dict[str, list[float]]) -> dict[str, object]:
    """Ratios of our megabytes to the plain road's."""
    pairs = [one / other for one, other in zip(megabytes["ours"], megabytes["plain"], strict=True)]
    return {
        "memory_ratio": _median(pairs),
        "memory_ratio_range": [round(min(pairs), 3), round(max(pairs), 3)],
        "memory_ratio_frugal": round(megabytes["frugal"][0] / statistics.median(megabytes["plain"]), 3),
    }


def held(table: Table) -> float:
    """Megabytes that no road of training the generator on the learner's answers can do without."""
    generator, learner = (
        sum(tensor.nbytes for tensor in model.parameters()) for model in (table.generator, table.learner)
    )
    return (4 * generator + learner) / 2**20


def causes(part: dict[str, float]) -> dict[str, float]:
    """How much of a plain step each difference saves, as a share of it: they add up to what the paper's stage saves."""
    whole = part["plain_step"] + part["plain_writing"]
    teachers = part["plain_teachers"] + part["plain_synthetic"] - part["our_synthetic"]
    saved = {
        "learner lives trained once": part["plain_learner"],
        "head gradients in closed form, teachers' remembered": teachers,
        "likelihoods without padding": part["plain_likelihoods"] - part["generator_step"],
        "a sampler of our own": part["plain_writing"] - part["our_writing"],
    }
    return {name: seconds / whole for name, seconds in saved.items()}


def parts(now: Round) -> dict[str, float]:
    """Seconds of everything that a stage of either road is made of, of one road after the other."""
    found: dict[str, float] = {}
    for half in gauges.in_turn([of_the_plain_road, of_our_road], now.number):
        found |= half(now)
    print({name: round(seconds, 3) for name, seconds in found.items()}, file=sys.stderr)
    return found


def of_the_plain_road(now: Round) -> dict[str, float]:
    """A step, what its time goes into, both classes together, and the writing of its texts."""
    road, rng = now.road, Random(now.number)
    stepped, apart = (roads.texts(now.unread(series), 0) for series in ("plain", "plain parts"))
    real, weights = rng.sample(road.rows.of[0], REAL), _weights(now.table.place)
    learner = now.seconds(lambda: road.train_learner(rng))
    return {
        "plain_step": learner + now.seconds(lambda: road.match(rng, stepped)),
        "plain_learner": learner,
        "plain_teachers": 2 * now.seconds(lambda: road.real_gradient(real, 0)),
        "plain_synthetic": 2 * now.seconds(lambda: road.synthetic_gradient(apart[0], 0, weights).sum().backward()),
        "plain_likelihoods": 2 * now.seconds(lambda: road.nll(apart[0], 0).mean().backward()),
        "plain_writing": writing(now, write_plainly),
    }


def _weights(place: Place) -> torch.Tensor:
    return torch.full((SYNTHETIC,), 1 / SYNTHETIC, device=place.device, requires_grad=True)


def of_our_road(now: Round) -> dict[str, float]:
    """A step, of the frugal road too, what is done once, and the writing of a step's texts."""
    table, steps = now.table, range(now.plan.our_steps)
    begin = now.now()
    bank = roads.banked(table, now.plan.ages, now.number)
    grown = (now.now() - begin) / (now.plan.ages - 1)
    give_back()
    matching = roads.ours(table, bank, now.unread("warm up"))
    roads.walk(table, matching, steps)  # now every teacher of these steps is known
    known = [examples for several in matching.target.sets.values() for examples in several]  # type: ignore[attr-defined]
    mean_gradient(table.learner, known[0])
    apart = now.unread("parts")
    return {
        "our_step": _step(now, table, matching, "ours"),
        "frugal_step": _step(now, frugally(table), matching, "frugal"),
        "our_age": grown,
        "our_teachers": 2 * now.seconds(lambda: mean_gradient(table.learner, known[1])),
        "our_synthetic": 2 * now.seconds(lambda: table.learner.gradients(apart[0, 0])),
        "generator_step": now.seconds(lambda: roads.generator_steps(table, apart, steps)) / len(steps),
        "our_writing": writing(now, write_ours),
    }


def _step(now: Round, table: Table, matching: roads.Matching, series: str) -> float:
    """Seconds of one, on texts that were not read before."""
    steps, matching = range(now.plan.our_steps), replace(matching, proposals=roads.met(now.unread(series)))
    return now.seconds(lambda: roads.walk(table, matching, steps)) / len(steps)


def frugally(table: Table) -> Table:
    """The same with `runtime.recompute`."""
    place = replace(table.place, recompute=True)
    return replace(table, generator=CausalGenerator.open(str(table.folder / "generator"), table.train.task, place))


def writing(now: Round, write: Callable[[Job, int], int]) -> float:
    """Seconds for the texts of a step, from those of a full batch."""
    count, place = now.plan.written, now.table.place
    job = Job(ending(now.plan.generator, place), place, count, count)
    lengths = now.table.generator.lengths(
        [row for (_, step), rows in now.unread("ours").items() for row in rows if not step]
    )
    with torch.no_grad():
        begin = now.now()
        tokens = write(job, now.number)
    return (now.now() - begin) / tokens * int(lengths.sum())


def memories(given: argparse.Namespace, plan: Plan, folder: Path) -> dict[str, list[float]]:
    """Megabytes of each road, each time in a process of its own: two at a time where there are several."""
    wanted = ["plain", "ours"] * plan.memories + ["frugal"]
    with ThreadPoolExecutor(min(plan.memories, 2)) as pool:
        told = list(pool.map(partial(_memory_in_a_process, given, folder), wanted))
    return {
        road: [each for name, each in zip(wanted, told, strict=True) if name == road] for road in dict.fromkeys(wanted)
    }


def _memory_in_a_process(given: argparse.Namespace, folder: Path, road: str) -> float:
    same = [
        word for name in ("size", "threads", "device", "precision") for word in (f"--{name}", str(getattr(given, name)))
    ]
    command = [sys.executable, __file__, *same, "--memory-of", road, "--folder", str(folder)]
    told = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"PYTHONWARNINGS": ""}
    )
    return float(told.stdout.split()[-1])


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    main()
