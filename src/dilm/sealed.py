"""What a finished stage wrote, sealed: hashes of its files, the manifest's own hash in the journal, owner-only modes.

files.json holds the hashes of the files, manifest.json that of files.json, the journal that of manifest.json, and each
of its lines that of the line before: who noted the head of the journal elsewhere can check all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from dilm import journal
from dilm.privacy.chain import Reading
from dilm.privacy.sums import file_sum, sums
from dilm.runs import MANIFEST, RECIPE, Run, manifest_text, private_mode, protect, write_text

FILES = "files.json"
OWN = (MANIFEST, FILES)
"""What stands in a stage folder beside what the stage wrote."""


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


def finish(run: Run, name: str, manifest: dict[str, Any], outside: Iterable[str] = ()) -> dict[str, Any]:
    """Declare a stage complete; returns its manifest. `outside` are its products elsewhere in the run folder.

    The journal comes before the manifest, which comes last: a kill between them leaves a stage that is done again.
    """
    written, mode = [name, *outside], private_mode(run.folder)
    text = json.dumps(products(run, name, outside), indent=1)
    write_text(run.stage(name).path / FILES, text)
    for path in (run.folder / each for each in written):
        if path.exists():
            protect(path, mode)
    whole = manifest | {"files": digest(text)}
    journal.note(run, journal.FINISHED, stage=name, key=manifest["key"], manifest=digest(manifest_text(whole)))
    run.stage(name).finish(whole)
    protect(run.stage(name).path / MANIFEST, mode)
    return whole


def adopt(run: Run, name: str) -> None:
    """Take note of a finished stage that was copied from another run."""
    manifest = run.stage(name).manifest or {}
    made = file_sum(run.stage(name).path / MANIFEST)
    journal.note(run, journal.FINISHED, stage=name, key=manifest["key"], manifest=made, copied=True)


def note_recipe(run: Run) -> None:
    """Take note of the recipe, where it is another than the journal knows."""
    now = file_sum(run.folder / RECIPE)
    if now != noted_recipe(journal.entries(run.folder)):
        journal.note(run, journal.RECIPE_NOTED, recipe=now)


def noted_recipe(log: Reading) -> str | None:
    """The hash of the recipe that the journal knows."""
    told = [row.get("recipe") for row in log.rows if row.get("act") == journal.RECIPE_NOTED]
    return told[-1] if told else None


def products(run: Run, name: str, outside: Iterable[str]) -> dict[str, str]:
    """Path in the run folder to hash of everything that a stage wrote but its manifest."""
    own = {f"{name}/{file}" for file in OWN}
    return {path: made for path, made in sums(run.folder, [name, *outside]).items() if path not in own}


def digest(text: str) -> str:
    """SHA-256 of a text as it stands in a file."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
