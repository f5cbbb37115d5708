"""Tasks whose target is text: E2E NLG and GSM8K, ours beside subsets of equal size and of equal tokens; terms alone.

    DILM_DATA=data .venv/bin/python experiments/011-generation/run.py --out runs/generation

All models are made from scratch, so it needs no hub. Two learners: a small GPT-2 that has read the texts one by one, in
which gradients are matched, and a small T5 of random weights, which has no part in the distillation. An arm for each
term of the objective alone, and one with all. Runs continue where they were stopped. `--quick` walks the same way in
minutes and measures nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import T5Config, T5ForConditionalGeneration

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from record import record  # noqa: E402

from dilm import api  # noqa: E402
from dilm.data.load import load  # noqa: E402
from dilm.models.scratch import save, train_tokenizer  # noqa: E402

TASKS = ("e2e_nlg", "gsm8k")
ARMS: dict[str, dict[str, Any]] = {
    "mismatch": {"match.lm_lambda": 0.0},
    "fluency": {"match.lm_lambda": 0.1},
    "coherence": {"match.lm_lambda": 0.0, "generation.coherence": 0.1},
    "diversity": {"match.lm_lambda": 0.0, "generation.diversity": 0.1},
    "all": {"match.lm_lambda": 0.1, "generation.coherence": 0.1, "generation.diversity": 0.1},
}
SETTINGS: dict[str, Any] = {
    "data.train_rows": 5000,
    "data.dev_rows": 300,
    "pretrain.vocabulary": 2000,
    "pretrain.steps": 600,
    "fit.steps": 1500,
    "fit.lr": 3e-3,
    "match.steps": 40,
    "match.real": 100,
    "match.check_rows": 100,
    "generate.oversample": 30,
    "generate.attempts": 20,
    "select.sets": 5,
    "evaluate.steps": 100,
    "evaluate.lr": 3e-3,
    "evaluate.full_lr": 3e-3,
    "evaluate.full_steps": 600,
}
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
    "match.steps": 1,
    "match.synthetic": 4,
    "match.real": 4,
    "match.ages": 2,
    "match.age_steps": 1,
    "match.check_every": 0,
    "match.refresh_every": 1,
    "generate.oversample": 2,
    "generate.attempts": 500,
    "select.sets": 1,
    "evaluate.steps": 2,
    "evaluate.full_steps": 2,
    "evaluate.baselines": "random,random@tokens,full",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    for task in given.tasks.split(","):
        other = small_t5(task, given.out / f"{task}-t5")
        for arm in ("all",) if given.quick else given.arms.split(","):
            begin, folder = time.perf_counter(), given.out / f"{task}-{arm}"
            learners = f"same,{other}"
            settings = SETTINGS | ARMS[arm] | {"evaluate.learners": learners} | (QUICK if given.quick else {})
            recipe = api.recipe_for(
                task, generator="scratch:mini", per_class=2 if given.quick else 5, settings=settings
            )
            api.distill_run(api.open_run(recipe, folder, resume=folder.exists()))
            record(folder, (given.out / "quick" if given.quick else HERE) / task / arm)
            print(f"{task}, {arm}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)


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
