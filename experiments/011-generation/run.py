"""Tasks whose target is text: E2E NLG and GSM8K, ours beside subsets of equal size and of equal tokens; terms alone.

    DILM_DATA=data .venv/bin/python experiments/011-generation/run.py --out runs/generation

All models are made from scratch, so it needs no hub. Two learners: a small GPT-2 that has read the texts one by one, in
which gradients are matched, and a small T5 of random weights, which has no part in the distillation. The generator is
fitted once for each task; `unmatched` is measured beside all subsets, and then an arm for each term of the objective
alone is compared with it. Runs continue where they were stopped. `--quick` walks the same way in minutes and measures
nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import T5Config, T5ForConditionalGeneration

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from record import record  # noqa: E402
from tables import ahead, compared, interval, mean, write  # noqa: E402

from dilm import api, leaderboard, pipeline, runs  # noqa: E402
from dilm.data.load import load  # noqa: E402
from dilm.journal import FINDINGS  # noqa: E402
from dilm.models.scratch import save, train_tokenizer  # noqa: E402
from dilm.recipe import Recipe  # noqa: E402
from dilm.reports.scales import scale  # noqa: E402
from dilm.runs import Run  # noqa: E402
from dilm.stages.records import scores  # noqa: E402
from dilm.types import Score  # noqa: E402

TASKS: dict[str, dict[str, Any]] = {
    "e2e_nlg": {"fit.steps": 1000},
    "gsm8k": {"fit.steps": 600, "fit.batch": 16, "models.max_tokens": 192, "evaluate.steps": 60},  # longer texts
}
UNMATCHED = "unmatched"
MATCHED = {"match.steps": 8, "match.lm_lambda": 0.0}
ARMS: dict[str, dict[str, Any]] = {
    UNMATCHED: {"match.steps": 0, "match.lm_lambda": 0.0},
    "mismatch": MATCHED,
    "and fluency": MATCHED | {"match.lm_lambda": 0.1},
    "and coherence": MATCHED | {"generation.coherence": 0.1},
    "and diversity": MATCHED | {"generation.diversity": 0.1},
    "and coverage": MATCHED | {"generation.coverage": 0.1},
}
SETTINGS: dict[str, Any] = {
    "data.train_rows": 5000,
    "data.dev_rows": 300,
    "data.test_rows": 500,
    "pretrain.vocabulary": 2000,
    "pretrain.steps": 600,
    "fit.lr": 3e-3,
    "match.real": 30,
    "match.synthetic": 16,
    "match.check_every": 0,
    "match.refresh_every": 4,
    "generate.oversample": 100,
    "generate.attempts": 20,
    "generation.answers": 50,
    "select.sets": 4,
    "select.method": "cynical",
    "evaluate.steps": 100,
    "evaluate.lr": 3e-3,
    "evaluate.full_lr": 3e-3,
    "evaluate.full_steps": 600,
}
TOKENS = [f"{name}@tokens" for name in ("random", "kmeans_nearest", "el2n", "perplexity", "cynical")]
BASELINES = {
    "e2e_nlg": ["random", "kmeans_nearest", *TOKENS, "untuned_random", "full"],
    "gsm8k": ["random", *TOKENS],
}
"""Beside the sets that were not matched; beside the other arms random rows alone, which are the same for all."""
QUICK: dict[str, Any] = {
    "data.train_rows": 200,
    "data.dev_rows": 20,
    "data.test_rows": 20,
    "models.max_tokens": 96,
    "generation.conditions": 2,
    "generation.answers": 2,
    "pretrain.steps": 2,
    "fit.steps": 30,
    "fit.batch": 16,
    "match.synthetic": 4,
    "match.real": 4,
    "match.ages": 2,
    "match.age_steps": 1,
    "match.refresh_every": 1,
    "generate.oversample": 2,
    "generate.attempts": 500,
    "select.sets": 2,
    "evaluate.steps": 2,
    "evaluate.full_steps": 2,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    records = given.out / "records" if given.quick else HERE
    for task in given.tasks:
        common = SETTINGS | TASKS[task] | (QUICK if given.quick else {})
        common |= {"evaluate.learners": ["same", str(small_t5(task, given.out / f"{task}-t5"))]}
        common["per_class"] = 2 if given.quick else 5
        compare(task, ["unmatched", "mismatch"] if given.quick else given.arms, common, given.out, records)


def compare(task: str, arms: Sequence[str], common: dict[str, Any], out: Path, records: Path) -> None:
    """Every arm of a task; the first beside all subsets."""
    done: dict[str, Run] = {}
    for arm in arms:
        begin = time.perf_counter()
        settings = common | ARMS[arm] | {"evaluate.baselines": BASELINES[task] if arm == UNMATCHED else ["random"]}
        recipe = api.recipe_for(task, generator="scratch:mini", settings=settings)
        done[arm] = finished(out / f"{task}-{arm.replace(' ', '-')}", recipe, list(done.values()))
        print(f"{task}, {arm}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
        if arm == UNMATCHED:
            record(done[arm].folder, records / task)
    write_terms(task, done, records)


def finished(folder: Path, recipe: Recipe, earlier: Sequence[Run]) -> Run:
    """The finished run of an arm; what does not depend on the arm is taken from the earlier ones."""
    run = runs.create(folder, recipe, resume=True)
    with pipeline.at_work(run) as bench:
        for other in earlier:
            leaderboard.share(other, run)
        pipeline.run_all(bench)
    return run


def write_terms(task: str, done: Mapping[str, Run], records: Path) -> None:
    """Each arm's sets, and how far they are ahead of those of the generator that was not matched."""
    found = [score for arm, run in done.items() for score in ours(run, arm)]
    lines = []
    by = scale("perplexity")
    for each, gap in compared(found, UNMATCHED, by):
        lines.append((each.method, each.learner, mean(each, by), interval(each, by), ahead(gap, by)))
    about = f"{task}, 5 per condition, perplexity of a target token on test rows: less is better."
    names = ("objective", "learner", "perplexity", "95 % interval", f"lower than {UNMATCHED} by")
    write(records / f"{task}-terms", about, names, lines, found)


def ours(run: Run, arm: str) -> list[Score]:
    """The scores of our sets, under the arm's name."""
    trials = (run.stage("evaluate").manifest or {})["trials"]
    rows = scores(api.begun.bench_of(run, FINDINGS), trials)
    return [replace(score, method=arm) for score in rows if score.method == "dilm"]


def small_t5(task: str, folder: Path) -> Path:
    """A T5 of random weights with a tokenizer of the task's texts: a learner of another kind, the same in every arm."""
    if not (folder / "config.json").exists():
        texts = [text for row in load(task).train.examples[:5000] for text in row.texts]
        tokenizer = train_tokenizer(texts, SETTINGS["pretrain.vocabulary"], kind="causal")
        marks: dict[str, Any] = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
        shape = {"d_model": 64, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_heads": 2}
        torch.manual_seed(0)
        config = T5Config(vocab_size=len(tokenizer), decoder_start_token_id=tokenizer.pad_token_id, **marks, **shape)
        save(T5ForConditionalGeneration(config), tokenizer, folder)
    return folder


if __name__ == "__main__":
    main()
