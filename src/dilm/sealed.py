"""What a finished stage wrote, sealed: hashes of its files, the manifest's own hash in the journal, owner-only modes.

files.json holds the hashes of the files, manifest.json that of files.json, the journal that of manifest.json, and each
of its lines that of the line before: who noted the head of the journal elsewhere can check all of it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from dilm import journal
from dilm.privacy.chain import Reading
from dilm.privacy.sums import below, sums
from dilm.runs import LEDGER, MANIFEST, RECIPE, Run, existing, manifest_text, private_mode, protect, write_text
from dilm.runtime.hashing import file_key

FILES = "files.json"
OWN = (MANIFEST, FILES)
"""What stands in a stage folder beside what the stage wrote."""
OUTSIDE = {
    "evaluate": ("scores.jsonl", "earlier-scores.jsonl"),
    "report": ("report.html", "results.md", "distilled"),
}
"""What stages write in the run folder beside their own folders."""


def begin(run: Run, name: str, key: str) -> bool:
    """Make a stage's folder ready; True when earlier work is continued.

    Noted afterwards: a kill in between leaves a stage that is undone, and whose next beginning is noted.
    """
    continued = run.stage(name).begin(key)
    journal.note(run, journal.BEGUN, stage=name, key=key)
    return continued


def undo(run: Run, name: str) -> None:
    """Make a stage undone, where there is anything of it."""
    if run.stage(name).path.exists():
        run.stage(name).clear()
        journal.note(run, journal.UNDONE, stage=name)


def finish(run: Run, name: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Declare a stage complete; returns its manifest.

    The journal comes before the manifest, which comes last: a kill between them leaves a stage that is done again.
    """
    mode = private_mode(run.folder)
    text = json.dumps(sums(run.folder, products(run.folder, name)), indent=1)
    write_text(run.stage(name).path / FILES, text)
    for path in (run.folder / place for place in places(name)):
        if path.exists():
            protect(path, mode)
    whole = manifest | {"files": digest(text)}
    made = {"manifest": digest(manifest_text(whole)), **_ledger(run)}
    journal.note(run, journal.FINISHED, stage=name, key=manifest["key"], **made)
    run.stage(name).finish(whole)
    protect(run.stage(name).path / MANIFEST, mode)
    return whole


def adopt(run: Run, name: str) -> None:
    """Take note of a finished stage that was copied from another run."""
    manifest = run.stage(name).manifest or {}
    made = file_key(run.stage(name).path / MANIFEST)
    journal.note(run, journal.FINISHED, stage=name, key=manifest["key"], manifest=made, copied=True)


def note_recipe(run: Run) -> None:
    """Take note of the recipe, where it is another than the journal knows."""
    now = file_key(run.folder / RECIPE)
    if now != noted_recipe(journal.entries(run.folder)):
        journal.note(run, journal.RECIPE_NOTED, recipe=now)


def settle_recipe(run: Run) -> None:
    """Write the run's recipe down, where somebody changed it, and take note of it."""
    if run.changed and existing(run.folder).recipe != run.recipe:
        run.with_recipe(run.recipe)
        note_recipe(run)


def noted_recipe(log: Reading) -> str | None:
    """The hash of the recipe that the journal knows."""
    told = [row.get("recipe") for row in log.rows if row.get("act") == journal.RECIPE_NOTED]
    return told[-1] if told else None


def _ledger(run: Run) -> dict[str, str]:
    """The hash of what was spent so far, where there is anything to spend."""
    file = run.folder / LEDGER
    return {"ledger": file_key(file)} if file.exists() else {}


def places(name: str) -> tuple[str, ...]:
    """Where in the run folder a stage writes."""
    return (name, *OUTSIDE.get(name, ()))


def products(folder: Path, name: str) -> list[str]:
    """Paths in the run folder of everything that a stage has there, but what stands there for this module's sake."""
    own = {f"{name}/{file}" for file in OWN}
    found = (file.relative_to(folder).as_posix() for place in places(name) for file in below(folder / place))
    return sorted(path for path in found if path not in own)


def digest(text: str) -> str:
    """SHA-256 of a text as it stands in a file."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
