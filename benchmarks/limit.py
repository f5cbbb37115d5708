"""How close each stage comes to what this machine can do: counted operations and bytes against its measured peaks.

    .venv/bin/python benchmarks/limit.py --size small --json

The peaks are those of a large matrix product, in the stages' precision, and of a large copy, measured in the same run
on as many threads as the stages have. Of every kernel of torch that a stage calls, operations are those of matrix
products and of attention (two for each multiplication and addition), bytes what it reads and what it writes, as if
nothing stayed in a cache; lookups read the rows that they find, not the table. A kernel's bound is the time that its
operations or its bytes would take at their peak, the longer of the two; `reached` is the sum of the bounds over the
measured time, the median of five runs after one that warms up. What is missing goes into kernels that are too small for
their peak, into Python, into tokenising, and into what numpy does, which is timed but not counted (the k-means of
`select`): kernels are counted, and the mean time of one beyond its bound says which.

`pretrain` are two masked steps, `life` one step of a learner's life, `fit` and `match` two steps each, `generate` 256
texts of one class, `encode` and `predict` 512 rows, `select` k-means in the embeddings of 512 rows that are computed
anew, `evaluate` ten steps of a fine-tuning on 20 rows. Models have random weights, rows are the toy's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gauges
import numpy as np
import output
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count
from transformers import BertForMaskedLM

from dilm.coresets.kmeans_nearest import KMeansNearest
from dilm.data.load import Limits, load
from dilm.distillation.fit import Lessons, fit
from dilm.distillation.match import Matching, closed_form, match
from dilm.distillation.targets import mean_gradient
from dilm.distillation.trajectory import Ageing
from dilm.evaluation.finetune import finetune
from dilm.models import scratch
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.models.encoder import FeatureEncoder
from dilm.runtime.device import Place
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset

ROUNDS = 5
MATRIX, COPIED = {"cpu": 2048}, 2**26
"""Side of the matrices that are multiplied, floats that are copied."""
LARGER = 8192
"""That side on other devices."""

aten = torch.ops.aten
LOOKUPS = {aten.embedding, aten.index, aten.index_select, aten.gather}
"""Of their first argument they read as much as they find."""
WRITTEN_ONLY = {aten.copy_, aten.fill_, aten.zero_}
"""Their first argument is not read."""
SCATTERS = {aten.index_put_, aten._index_put_impl_, aten.scatter_}
"""Of their first argument they write as much as they are given."""
IDLE = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided}
"""They only find room."""


@dataclass(frozen=True)
class Peaks:
    """Operations and bytes in a second."""

    operations: float
    bytes: float


@dataclass
class Counts:
    """Of every kernel its operations and its bytes."""

    operations: list[int] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)

    def bound(self, limits: Peaks) -> float:
        """Seconds in which each kernel comes to one of the peaks."""
        pairs = zip(self.operations, self.bytes, strict=True)
        return sum(max(flop / limits.operations, moved / limits.bytes) for flop, moved in pairs)


class Counted(TorchDispatchMode):
    """Counts kernels, what each computes, reads and writes; views do nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()

    def __torch_dispatch__(self, kernel, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        found = kernel(*args, **kwargs)
        moved = traffic(kernel, args, kwargs, found)
        if moved is not None:
            count = OPERATIONS.get(kernel.overloadpacket)
            self.counts.operations.append(count(*args, **kwargs, out_val=found) if count else 0)
            self.counts.bytes.append(moved)
        return found


def traffic(kernel: Any, args: tuple[Any, ...], kwargs: dict[str, Any], found: Any) -> int | None:
    """Bytes that a kernel reads and writes; None where it computes nothing: it gives a view, or finds room."""
    changed, read = [], []
    for place, argument in enumerate(kernel._schema.arguments):
        tensors = list(tensors_of(args[place] if place < len(args) else kwargs.get(argument.name)))
        changed += tensors if argument.alias_info is not None and argument.alias_info.is_write else []
        if place or kernel.overloadpacket not in LOOKUPS | WRITTEN_ONLY | SCATTERS:
            read += tensors
    known = {tensor.untyped_storage().data_ptr() for tensor in tensors_of((args, kwargs))}
    new = [tensor for tensor in tensors_of(found) if tensor.untyped_storage().data_ptr() not in known]
    if kernel.overloadpacket in IDLE or not (new or changed):
        return None
    if kernel.overloadpacket in LOOKUPS:
        read += new
    if kernel.overloadpacket in SCATTERS:
        changed = list(tensors_of(args[2:]))
    return sum(map(size_of, [*read, *changed, *new]))


def tensors_of(values: Any) -> Iterator[Tensor]:
    return (each for each in tree_leaves(values) if isinstance(each, Tensor))


def size_of(tensor: Tensor) -> int:
    """Bytes; of a tensor that repeats itself those that there are."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def attention(query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> int:
    """Operations of attention on a CPU, which torch's own counter does not know; causal or not, as there."""
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def attention_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> int:
    """And of its gradients."""
    return sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape)


OPERATIONS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    aten._scaled_dot_product_flash_attention_for_cpu: attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
}


def main() -> None:
    given, place = asked(__doc__, "small")
    limits = peaks(place)
    with tempfile.TemporaryDirectory() as folder:
        works = stages(given.size, Path(folder), place)
        found = {name: against(work, limits, gauges.clock(place.device)) for name, work in works.items()}
    facts = {
        "size": given.size,
        "threads": given.threads,
        "device": str(place.device),
        "bf16": place.bf16,
        "peak_gflops": round(limits.operations / 1e9, 1),
        "peak_gb_per_second": round(limits.bytes / 1e9, 1),
        "stages": found,
    }
    output.tell(given, facts, told(facts))


def asked(described: str | None, size: str) -> tuple[argparse.Namespace, Place]:
    """What whoever starts a benchmark of these stages says, and where they run."""
    given = asking(described, size).parse_args()
    return given, settled(given)


def asking(described: str | None, size: str) -> argparse.ArgumentParser:
    """With the options of all benchmarks of these stages."""
    parser = gauges.placed(output.parser(described))
    parser.add_argument("--size", choices=scratch.SIZES, default=size)
    parser.add_argument("--threads", type=int, default=1)
    return parser


def settled(given: argparse.Namespace) -> Place:
    """Where they run: on so many threads, without bars."""
    torch.set_num_threads(given.threads)
    os.environ["DILM_PROGRESS"] = "none"
    return gauges.place(given)


def peaks(place: Place) -> Peaks:
    """The best of a few."""
    side, now = MATRIX.get(place.device.type, LARGER), gauges.clock(place.device)
    left = torch.rand(side, side, device=place.device, dtype=torch.bfloat16 if place.bf16 else torch.float32)
    long = torch.rand(COPIED, device=place.device)
    other = torch.empty_like(long)
    product = min(gauges.seconds(lambda: left @ left, now) for _ in range(ROUNDS))
    copy = min(gauges.seconds(lambda: other.copy_(long), now) for _ in range(ROUNDS))
    return Peaks(2 * side**3 / product, 8 * COPIED / copy)


def stages(size: str, folder: Path, place: Place, source: str = "toy") -> dict[str, Callable[[], object]]:
    """A piece of work of every stage that costs anything."""
    train = load(source, limits=Limits(train_rows=6000, dev_rows=100, test_rows=100)).train
    generator, learner, encoder = opened(size, train, folder, place)
    update = AdamW(generator.parameters(), Schedule(1000, 1e-6))
    lessons, small, some = Lessons(train, 64, 0.5, 0), train.take(range(20)), train.take(range(512))
    ageing = Ageing(train, 2, 1, Schedule(1000, 1e-6), 64, 0)
    select, problem = KMeansNearest(encoder), matching(learner, train)
    return {
        "pretrain": masked_steps(size, train, place),
        "life": partial(ageing.grow, learner, ageing.start(learner, 0), 0),
        "fit": lambda: list(fit(generator, lessons, update, range(2))),
        "match": lambda: list(match(generator, problem, update, range(2), 0)),
        "generate": lambda: generator.sample(0, 256, torch.Generator().manual_seed(0)),
        "encode": lambda: encoder.encode(some),
        "select": lambda: select(some, 10, np.random.default_rng(0)),
        "predict": lambda: learner.predict(some),
        "evaluate": lambda: finetune(learner, small, Schedule(10, 1e-4), 64, 0),
    }


def matching(learner: Classifier, train: Dataset) -> Matching:
    """Real rows against the gradient of the same, which is known."""
    texts = {condition: train.of(condition).examples[:32] for condition in train.task.conditions}
    targets = {condition: mean_gradient(learner, rows) for condition, rows in texts.items()}
    return Matching(
        learner, lambda *_: None, lambda _, condition, step: targets[condition], lambda c, step: texts[c], closed_form
    )


def masked_steps(size: str, train: Dataset, place: Place) -> Callable[[], object]:
    """Two of a model that learns from unlabelled texts."""
    texts = [row.texts[0] for row in train]
    tokenizer = scratch.train_tokenizer(texts, 4000, "masked")
    model: BertForMaskedLM = scratch.small_bert(tokenizer, scratch.SIZES[size], 0)
    return lambda: scratch.warm_up(model, tokenizer, texts, scratch.WarmUp(2), 0, place)


def opened(size: str, train: Dataset, folder: Path, place: Place) -> tuple[CausalGenerator, Classifier, FeatureEncoder]:
    """Models with random weights."""
    texts = [row.texts[0] for row in train]
    causal, masked = (scratch.train_tokenizer(texts, 4000, kind) for kind in ("causal", "masked"))
    scratch.save(scratch.small_gpt2(causal, scratch.SIZES[size], 0), causal, folder / "generator")
    scratch.save(scratch.small_bert(masked, scratch.SIZES[size], 0), masked, folder / "learner")
    learner = str(folder / "learner")
    generator = CausalGenerator.open(str(folder / "generator"), train.task, place)
    return generator, Classifier.open(learner, train.task, place), FeatureEncoder.open(learner, place)


def against(work: Callable[[], object], limits: Peaks, now: Callable[[], float]) -> dict[str, float]:
    """What the work does, and how long it takes beside what it would at the machine's peaks."""
    work()  # tokens are remembered, buffers are there
    taken = statistics.median(gauges.seconds(work, now) for _ in range(ROUNDS))
    with Counted() as counted:
        work()
    counts = counted.counts
    bound, kernels = counts.bound(limits), len(counts.bytes)
    return {
        "milliseconds": round(1000 * taken, 1),
        "gflop": round(sum(counts.operations) / 1e9, 3),
        "gigabytes": round(sum(counts.bytes) / 1e9, 3),
        "kernels": kernels,
        "reached": round(bound / taken, 3),
        "operations_reached": round(sum(counts.operations) / limits.operations / taken, 3),
        "microseconds_beyond_per_kernel": round(1e6 * max(taken - bound, 0.0) / kernels, 1),
    }


def told(facts: dict) -> str:
    """The figures in Markdown."""
    machine = f"{facts['peak_gflops']} GFLOP/s, {facts['peak_gb_per_second']} GB/s"
    names = list(next(iter(facts["stages"].values())))
    rows = [[stage, *(found[name] for name in names)] for stage, found in facts["stages"].items()]
    heads = ["stage", *(name.replace("_", " ") for name in names)]
    return f"{facts['size']}, {facts['threads']} threads: {machine}\n\n{output.table(heads, rows)}"


if __name__ == "__main__":
    main()
