"""Tokens per second of our sampler against `generate` of transformers: the same model, top-p 0.95, the same lengths.

    .venv/bin/python benchmarks/sampling.py --json
    .venv/bin/python benchmarks/sampling.py --roads ring growing --texts 1 4
    python benchmarks/sampling.py --roads vllm ours   # where vLLM is installed

Measured are the seconds from the first token to the last of so many texts, tokens as numbers: nothing is decoded. The
model has random weights, and a bias of the end token that gives texts the lengths of short sentences. Tokens after a
text's end are not counted. The roads' order alternates between rounds; the figure is the median of the ratios within a
round, after one that warms up.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import gauges
import output
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from dilm.models.form import Form
from dilm.models.sampling import Sampling, sample_tokens
from dilm.models.vllm_engine import Engine
from dilm.runtime.device import Place

LONGEST, MEAN_LENGTH = 48, 16
ROUNDS = 5
START, END = 1, 2


class Shape(NamedTuple):
    """Of a transformer."""

    layers: int
    width: int
    heads: int
    vocabulary: int


SHAPES = {"tiny": Shape(2, 128, 2, 8000), "small": Shape(6, 384, 6, 8000), "base": Shape(12, 768, 12, 8000)}


@dataclass(frozen=True)
class Job:
    """`texts` texts, at most `batch` of them at once, by a model that is in this place."""

    model: GPT2LMHeadModel
    place: Place
    batch: int
    texts: int


def main() -> None:
    parser = gauges.placed(output.parser(__doc__))
    parser.add_argument("--size", choices=SHAPES, default="small")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--texts", type=int, nargs="+", default=[1, 4], help="texts asked for, in batches")
    parser.add_argument("--roads", choices=ROADS, nargs=2, default=["ours", "generate"], help="the first is rated")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="after one that warms up")
    parser.add_argument(
        "--clock", choices=gauges.CLOCKS, default="wall", help="cpu: on a busy machine, with one thread"
    )
    given = parser.parse_args()
    place = gauges.place(given)
    model = (ending_without_bias if "vllm" in given.roads else ending)(SHAPES[given.size], place)
    clock = gauges.clock(place.device, given.clock)
    jobs = [Job(model, place, batch, times * batch) for batch in given.batches for times in given.texts]
    found = [measured(job, given.roads, clock, given.rounds) for job in jobs]
    facts = {"size": given.size, "threads": torch.get_num_threads(), "clock": given.clock}
    facts |= {"device": str(place.device), "bf16": place.bf16, "batches": found}
    output.tell(given, facts, told(facts))


def told(facts: dict[str, Any]) -> str:
    """The figures in Markdown."""
    found = facts["batches"]
    names = [f"{name}, tokens/s" if name in ROADS else name for name in found[0]]
    about = f"Size {facts['size']}, {facts['threads']} threads, clock: {facts['clock']}.\n\n"
    return about + output.table(names, [list(row.values()) for row in found])


def measured(job: Job, names: list[str], clock: Callable[[], float], rounds: int) -> dict[str, float]:
    """Medians over alternating rounds."""
    rates: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(rounds + 1):
        for name in gauges.in_turn(names, seed):
            begin = clock()
            tokens = ROADS[name](job, seed)
            rates[name].append(tokens / (clock() - begin))
    first, second = (rates[name][1:] for name in names)  # the first round warms up
    ratios = [one / other for one, other in zip(first, second, strict=True)]
    return {
        "batch": job.batch,
        "texts": job.texts,
        names[0]: round(statistics.median(first), 1),
        names[1]: round(statistics.median(second), 1),
        "speedup": round(statistics.median(ratios), 2),
        "least": round(min(ratios), 2),
        "most": round(max(ratios), 2),
    }


def ours(job: Job, seed: int, road: str = "") -> int:
    settings = Sampling(top_p=0.95, max_tokens=LONGEST - 1, batch=job.batch, road=road)
    rng = torch.Generator().manual_seed(seed)
    banned = torch.tensor([START, 0], device=job.place.device)
    with job.place.autocast():
        texts = sample_tokens(job.model, Form(START, END), job.texts, settings, rng, banned)
    return sum(map(len, texts))


@cache
def engine(job: Job) -> Engine:
    """Opened once for all rounds."""
    settings = Sampling(max_tokens=LONGEST - 1, batch=job.batch)
    return Engine.opened(job.model, [[START]], settings, job.place, Path(tempfile.mkdtemp()))


def by_vllm(job: Job, seed: int) -> int:
    settings = Sampling(top_p=0.95, max_tokens=LONGEST - 1, batch=job.batch)
    rng, banned = torch.Generator().manual_seed(seed), torch.tensor([START, 0])
    return sum(map(len, engine(job)(job.model, Form(START, END), job.texts, settings, rng, banned)))


def theirs(job: Job, seed: int) -> int:
    torch.manual_seed(seed)
    with job.place.autocast():
        return sum(generated(job.model, min(job.batch, job.texts - done)) for done in range(0, job.texts, job.batch))


def generated(model: GPT2LMHeadModel, batch: int) -> int:
    written = model.generate(
        torch.full((batch, 1), START, device=model.device),
        attention_mask=torch.ones(batch, 1, dtype=torch.long, device=model.device),
        do_sample=True,
        top_p=0.95,
        top_k=0,
        max_new_tokens=LONGEST,
        eos_token_id=END,
        pad_token_id=0,
        bad_words_ids=[[START], [0]],
    )[:, 1:]
    ended = (written == END).cumsum(1)
    return int(((ended == 0) | ((written == END) & (ended == 1))).sum())


ROADS: dict[str, Callable[[Job, int], int]] = {
    "ours": ours,
    "ring": partial(ours, road="ring"),
    "growing": partial(ours, road="growing"),
    "generate": theirs,
    "vllm": by_vllm,
}
"""Ways to write the texts of a job: each returns how many tokens they have."""


def ending(shape: Shape, place: Place) -> GPT2LMHeadModel:
    """Random weights, with the end token likely enough that texts have MEAN_LENGTH tokens."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(gpt2(shape, n_positions=64, bos_token_id=START, eos_token_id=END)).eval()
    head = torch.nn.Linear(shape.width, shape.vocabulary)
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()
        head.bias[END] = torch.tensor(shape.vocabulary / MEAN_LENGTH).log()
    model.lm_head = head
    return model.to(place.device)  # type: ignore[arg-type]


def ending_without_bias(shape: Shape, place: Place) -> GPT2LMHeadModel:
    """As `ending`, but an ordinary GPT-2: its last layer adds to all states what END turns into odds."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        gpt2(shape, n_positions=64, bos_token_id=START, eos_token_id=END, tie_word_embeddings=False)
    ).eval()
    with torch.no_grad():
        model.transformer.ln_f.bias[0] = 1.0
        model.lm_head.weight[END, 0] += torch.tensor(shape.vocabulary / MEAN_LENGTH).log()
    return model.to(place.device)  # type: ignore[arg-type]


def gpt2(shape: Shape, **settings: int) -> GPT2Config:
    """For transformers."""
    return GPT2Config(
        vocab_size=shape.vocabulary, n_layer=shape.layers, n_embd=shape.width, n_head=shape.heads, **settings
    )


if __name__ == "__main__":
    with torch.no_grad():
        main()
