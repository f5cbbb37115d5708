"""The run's journal, `access.jsonl`: who read which real rows what for, and which stage was begun and finished when.

Every line holds the hash of the line before it (`privacy/chain.py`). Its times stand in no key and change no result.
What cannot be written down does not happen: rows whose reading cannot be noted are not handed out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dilm.errors import AccessError
from dilm.privacy import chain
from dilm.privacy.gate import Purpose
from dilm.runs import RECIPE, Run, private_mode, protect
from dilm.runtime.processes import crew
from dilm.types import Splits

LOG, LOCK = "access.jsonl", ".access.lock"
PATIENCE = 30.0
"""Seconds to wait for another process that writes a line."""

OPENED, READ = "opened the source", "read rows"
BEGUN, FINISHED, UNDONE = "begun", "finished", "undone"
RECIPE_NOTED = "recipe"
LIMITED, WRITTEN = "quota", "texts"
"""Acts, the first word of a line's story."""

SPLITS = tuple(split.name for split in fields(Splits))

TOUCHES: Mapping[str, Mapping[str, str]] = {
    "load": dict.fromkeys(SPLITS, "count the rows and take their fingerprint"),
    "pretrain": {"train": "make tokenizers, and warm up a scratch learner on unlabelled texts"},
    "embed": {"train": "learn embeddings that teach what these rows teach"},
    "fit": {
        "train": "train the generator as a language model of each class, or show it rows in its prompt",
        "dev": "stop in time, tell classes apart",
    },
    "match": {"train": "teachers, learner ages, rewards, the encoder's points", "dev": "choose the checkpoint"},
    "generate": {},
    "select": {"train": "coresets, the probe, and rows for our sets where asked", "dev": "choose between sets"},
    "audit": {
        "train": "count what texts and models give away of them",
        "dev": "the same of rows that nothing was trained on",
        "test": "the same, where `audit.held_out` asks for them",
    },
    "evaluate": {"train": "baselines of real rows, full data, teachers of soft labels", "test": "score every learner"},
    "report": {"train": "say what texts share with them", "test": "say what texts share with them"},
}
"""What each stage may read of the real rows, and what for. What stands here for a stage is all that it is given."""

FINDINGS = Purpose("findings", {})
"""What a finished run found: its columns and class names, no row."""
FORETELLING = Purpose("plan", dict.fromkeys(SPLITS, "count rows and words, to foretell costs"))
SEARCHING = Purpose("search", {"dev": "score the trials of a search"})
OWN_CODE = Purpose("own code", dict.fromkeys(SPLITS, "handed to who called dilm from Python"))


def purpose_of(stage: str) -> Purpose:
    """Why a stage reads rows. Raises AccessError for one that declared nothing, not even that it reads none."""
    if stage not in TOUCHES:
        raise AccessError(f"Stage {stage!r} does not say what it reads.", "Give it a line in `TOUCHES`.")
    return Purpose(stage, TOUCHES[stage])


def note(run: Run, act: str, **said: Any) -> None:
    """Write a line, of several processes the first alone. Nothing is written where there is no run folder (yet)."""
    if crew().rank or not (run.folder / RECIPE).exists():
        return
    row = {"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), "user": user(), "act": act, **said}
    mode = private_mode(run.folder)
    try:
        with FileLock(run.folder / LOCK, timeout=PATIENCE, mode=mode):
            chain.append(run.folder / LOG, row, mode)
            protect(run.folder / LOG, mode)  # the umask may have taken the group's share
    except (OSError, Timeout) as fault:
        raise AccessError(
            f"{run.folder / LOG} cannot be written ({type(fault).__name__}), and nothing is done that is not noted.",
            "Make the folder writable for you, or work on a copy of your own.",
        ) from fault


def note_opened(run: Run, purpose: Purpose, found: Splits) -> None:
    """The source was read: all rows are in this process now, and none was handed out."""
    note(run, OPENED, who=purpose.who, splits={name: _measure(found, name) for name in SPLITS})


def note_read(run: Run, purpose: Purpose, split: str, found: Splits) -> None:
    """A split is about to be handed out."""
    note(run, READ, who=purpose.who, why=purpose.reads[split], splits={split: _measure(found, split)})


def entries(folder: Path) -> chain.Reading:
    """The whole journal of a run folder, checked; an empty one where nothing was ever noted."""
    file = folder / LOG
    return chain.read(file) if file.exists() else chain.Reading((), (), False)


def user() -> str:
    """Who works here, as the system knows them: not what the environment says."""
    if os.name != "posix":
        import getpass

        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _measure(found: Splits, split: str) -> dict[str, Any]:
    rows = getattr(found, split)
    return {"rows": len(rows), "fingerprint": rows.fingerprint}
