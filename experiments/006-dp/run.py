"""What differential privacy costs: SST-2 distilled at epsilon 1, 4, 8 and without, beside random *public* rows.

    .venv/bin/python experiments/006-dp/run.py --out runs/dp

Needs `make experiments`, the extra `privacy` and DILM_DATA. Generator, learner and encoder are the public MiniLM.
Public rows are dev rows: as if somebody had labelled a few reviews that need no protection; no arm makes its product
with them. All arms have the same settings but for epsilon; without it the target is that of random rows. Runs continue
where they were stopped. `--quick` walks the same way in minutes and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from encoder import minilm  # noqa: E402
from tables import interval, mean, write  # noqa: E402

from dilm import api  # noqa: E402
from dilm.build import Bench  # noqa: E402
from dilm.evaluation.statistics import summarise  # noqa: E402
from dilm.journal import OWN_CODE  # noqa: E402
from dilm.runtime.seeding import numpy_stream, python_stream  # noqa: E402
from dilm.types import Score  # noqa: E402

EPSILONS = (1.0, 4.0, 8.0, 0.0)
"""0: without privacy."""
PER_CLASS = 10
SETTINGS = {
    "data.train_rows": 20_000,
    "data.dev_rows": 500,
    "models.max_tokens": 24,
    "fit.steps": 80,
    "fit.batch": 64,
    "fit.lr": 1e-3,
    "fit.contrast": 0.0,
    "fit.check_every": 10,
    "match.steps": 20,
    "match.lr": 3e-5,
    "generate.oversample": 20,
    "generate.attempts": 30,
    "select.sets": 3,
    "evaluate.steps": 100,
    "evaluate.baselines": "random",
}
QUICK = {
    "data.train_rows": 2000,
    "data.dev_rows": 100,
    "data.test_rows": 100,
    "fit.steps": 4,
    "fit.batch": 16,
    "fit.check_every": 2,
    "match.steps": 0,
    "generate.oversample": 2,
    "generate.attempts": 200,
    "select.sets": 1,
    "evaluate.steps": 2,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    model = minilm(given.out)
    scores, lines = [], []
    for epsilon in (8.0, 0.0) if given.quick else EPSILONS:
        begin = time.perf_counter()
        arm = f"epsilon {epsilon:g}" if epsilon else "no privacy"
        folder = given.out / arm.replace(" ", "-")
        settings = SETTINGS | {"models.encoder": model} | (QUICK if given.quick else {})
        recipe = api.recipe_for(
            "sst2",
            recipe="private",
            per_class=PER_CLASS if not given.quick else 2,
            generator=model,
            learner=model,
            epsilon=epsilon,
            settings=settings,
        )
        run = api.open_run(recipe, folder, resume=folder.exists())
        made = api.distill_run(run)
        found = api.evaluate(folder, also={"public": str(public_rows(folder))})
        spent = made.provenance.spend.get("epsilon")
        for each in summarise([Score(**_plain(row)) for row in found], numpy_stream(0, "statistics")):
            told = (arm, each.method, mean(each), interval(each), f"{spent:.2f}" if spent else "-")
            lines.append(told)
        scores += [Score(**(_plain(row) | {"method": f"{arm}: {row['method']}"})) for row in found]
        print(f"{arm}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    about = f"sst2, {PER_CLASS} per class, accuracy of MiniLM on test rows in percent, with the epsilon that was spent."
    record = (given.out if given.quick else HERE) / "sst2"
    write(record, about, ("arm", "set", "mean", "95 % interval", "epsilon spent"), lines, scores)


def public_rows(run: Path) -> Path:
    """Random dev rows, played as public: no run under privacy looks at them to make its product."""
    file = run / "public.jsonl"
    if not file.exists():
        bench = Bench(api.existing_run(run), OWN_CODE)
        rng = python_stream(0, "public")
        dev, labels = bench.splits.dev, bench.task.labels
        chosen = [row for label in range(len(labels)) for row in dev.of(label).sample(bench.recipe.per_class, rng)]
        rows = [dict(zip(bench.task.fields, row.texts, strict=True)) | {"label": labels[row.label]} for row in chosen]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def _plain(row: dict) -> dict:
    return {name: value for name, value in row.items() if name in Score.__dataclass_fields__}


if __name__ == "__main__":
    main()
