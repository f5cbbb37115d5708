"""Training a generator whose weights are split among the processes of a run, where `runtime.fsdp` asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TypeVar

from dilm.build import Bench
from dilm.models.causal import CausalGenerator
from dilm.models.mixture import AnyGenerator
from dilm.runtime import memory
from dilm.runtime.optimize import AdamW
from dilm.runtime.processes import Crew, Lockstep
from dilm.stages.training import Training

Result = TypeVar("Result")


@contextmanager
def training_crew(bench: Bench, generator: AnyGenerator) -> Iterator[Crew]:
    """Who trains the generator: the run's processes, each its part; or, where none is to hold it whole, all in step."""
    if not bench.recipe.runtime.fsdp:
        yield bench.crew
        return
    from dilm.models.split import Split  # torch's FSDP takes half a second to import

    assert isinstance(generator, CausalGenerator)  # mixtures are refused
    generator.split = Split(generator, bench.crew)
    with memory.in_step(), bench.crew.listening():
        yield Lockstep(bench.crew)


def whole(generator: AnyGenerator) -> AbstractContextManager[None]:
    """Within, each process may read and write with the generator for itself. All must enter."""
    split = generator.split if isinstance(generator, CausalGenerator) else None
    return split.whole() if split else nullcontext()


def agreed(bench: Bench, ask: Callable[..., Result]) -> Callable[..., Result]:
    """What decides which texts are read: where weights are split the first process's answer counts, for answers that
    differ in a text would mix likelihoods of different ones."""
    return (lambda *inputs: bench.crew.told(partial(ask, *inputs))) if bench.recipe.runtime.fsdp else ask


def finished(bench: Bench, generator: AnyGenerator, training: Training, begun: str) -> AnyGenerator:
    """The generator with its best weights; where it was split another, as the stage `begun` left it, with these."""
    if not bench.recipe.runtime.fsdp:
        training.finish()
        return generator
    assert isinstance(training.update, AdamW)  # private training is refused
    training.update.let_go()  # before all weights are here once more
    found = bench.generator(begun)
    training.finish_in(found.model)
    return found
