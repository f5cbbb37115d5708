"""Copy what a finished run measured into a folder that is committed: scores, table, recipe, costs, and what its texts
are like, beside random real rows. No rows of data.

python experiments/record.py RUN FOLDER
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from dilm import api
from dilm.recipe import book
from dilm.stages.report import FOLDERS

KEPT = (
    "seconds",
    "tokens",
    "peak_mb",
    "resumed",
    "rows",
    "steps",
    "dev_nll",
    "told_apart",
    "dev_score",
    "curve",
    "verdicts",
    "sets",
    "packed",
    "known",
    "form",
    "verdict",
    "figures",
)


def record(run: Path, folder: Path) -> None:
    """Write `recipe.yaml`, `scores.jsonl`, `results.md` and `stages.json` of `run` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = api.existing_run(run).recipe
    names = {
        f"{section}.{name}": Path(getattr(getattr(recipe, section), name)).name
        for section, fields in FOLDERS.items()
        for name in fields
    }
    names["evaluate.learners"] = [_without_folders(learner) for learner in recipe.evaluate.learners]
    text = book.to_yaml(book.override(recipe, names), comments=False)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    shutil.copy(run / "scores.jsonl", folder / "scores.jsonl")
    shutil.copy(run / "results.md", folder / "results.md")
    manifests = {name: json.loads((run / name / "manifest.json").read_text(encoding="utf-8")) for name in api.STAGES}
    stages = {name: {key: found[key] for key in KEPT if key in found} for name, found in manifests.items()}
    if "curve" in stages["pretrain"]:
        stages["pretrain"]["curve"] = stages["pretrain"]["curve"][::50]
    told = json.loads((run / "report" / "text.json").read_text(encoding="utf-8"))
    stages["report"]["text"] = {row["name"]: [row["value"], row["beside"]] for row in told}
    (folder / "stages.json").write_text(json.dumps(stages, indent=1) + "\n", encoding="utf-8")


def _without_folders(learner: str) -> str:
    """`frozen:models/MiniLM-L6` -> `frozen:MiniLM-L6`."""
    way, colon, model = learner.rpartition(":")
    return f"{way}{colon}{Path(model).name}"


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]))
