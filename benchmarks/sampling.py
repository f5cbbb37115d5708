"""Tokens per second of our sampler against `generate` of transformers: the same model, top-p 0.95, the same lengths.

    .venv/bin/python benchmarks/sampling.py --json

The model has random weights, and a bias of the end token that gives texts the lengths of short sentences. Tokens after
a text's end are not counted. Rounds alternate; the figure is the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from dilm.models.sampling import Sampling, sample_tokens

VOCABULARY = 8000
LONGEST, MEAN_LENGTH = 48, 16
ROUNDS = 5
SHAPES = {"tiny": (2, 128), "small": (6, 384), "base": (12, 768)}
"""Layers and width."""
START, END = 1, 2


@dataclass(frozen=True)
class Road:
    """One way to write `batch` texts: returns how many tokens they have."""

    name: str
    write: Callable[[int], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="small")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--json", action="store_true", help="one line with the figures, nothing else")
    given = parser.parse_args()
    found = [measured(given.size, batch) for batch in given.batches]
    if given.json:
        print(json.dumps({"size": given.size, "threads": torch.get_num_threads(), "batches": found}))
        return
    print("| batch | ours, tokens/s | generate, tokens/s | speedup |\n|--:|--:|--:|--:|")
    for row in found:
        print(f"| {row['batch']} | {row['ours']:.0f} | {row['generate']:.0f} | {row['speedup']} |")


def measured(size: str, batch: int) -> dict[str, float]:
    """Medians over alternating rounds."""
    model = ending(size)
    roads = (
        Road("ours", lambda seed: ours(model, batch, seed)),
        Road("generate", lambda seed: theirs(model, batch, seed)),
    )
    rates: dict[str, list[float]] = {road.name: [] for road in roads}
    for seed in range(ROUNDS + 1):
        for road in roads:
            begin = time.perf_counter()
            tokens = road.write(seed)
            rates[road.name].append(tokens / (time.perf_counter() - begin))
    ours_rates, their_rates = rates["ours"][1:], rates["generate"][1:]  # the first warms up
    ratios = [one / other for one, other in zip(ours_rates, their_rates, strict=True)]
    return {
        "batch": batch,
        "ours": round(statistics.median(ours_rates), 1),
        "generate": round(statistics.median(their_rates), 1),
        "speedup": round(statistics.median(ratios), 2),
        "least": round(min(ratios), 2),
        "most": round(max(ratios), 2),
    }


def ours(model: GPT2LMHeadModel, batch: int, seed: int) -> int:
    settings = Sampling(top_p=0.95, max_tokens=LONGEST - 1, batch=batch)
    rng = torch.Generator().manual_seed(seed)
    texts = sample_tokens(model, (START, END), batch, settings, rng, torch.tensor([START, 0]))
    return sum(map(len, texts))


def theirs(model: GPT2LMHeadModel, batch: int, seed: int) -> int:
    torch.manual_seed(seed)
    written = model.generate(
        torch.full((batch, 1), START),
        attention_mask=torch.ones(batch, 1, dtype=torch.long),
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


def ending(size: str) -> GPT2LMHeadModel:
    """Random weights, with the end token likely enough that texts have MEAN_LENGTH tokens."""
    layers, width = SHAPES[size]
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=64,
        n_layer=layers,
        n_embd=width,
        n_head=width // 64,
        bos_token_id=START,
        eos_token_id=END,
    )
    model = GPT2LMHeadModel(config).eval()
    head = torch.nn.Linear(width, VOCABULARY)
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()
        head.bias[END] = torch.tensor(VOCABULARY / MEAN_LENGTH).log()
    model.lm_head = head
    return model


if __name__ == "__main__":
    with torch.no_grad():
        main()
