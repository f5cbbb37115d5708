"""The product of a run as one file, for others: packed the same way every time, encrypted to whom it is meant for."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilm import runs
from dilm.distilled import ABOUT, CARD, DATA, SUMS, changes
from dilm.errors import AccessError, RunError
from dilm.privacy import parcel, sealing
from dilm.runs import RECIPE
from dilm.runtime.hashing import file_key

PARTS = (DATA, ABOUT, CARD, SUMS)
"""All that is exported, and nothing else of the folder."""
LARGEST = parcel.MOST_BYTES + (1 << 20)
"""Bytes of a file that is opened: a sealed one is a little larger than what is in it."""


@dataclass(frozen=True)
class Sent:
    """What an export says of itself. `content` is the hash of its manifest: sender and receiver may compare it."""

    file: str
    content: str
    recipients: int
    real_rows: int
    """Examples that are rows of the training data, word for word."""


def export(folder: Path, to: Path, named: Sequence[str] = ()) -> Sent:
    """Write the distilled set of a run, or of a folder that `save` wrote, into one file, encrypted where anybody is
    named. Raises RunError where there is none or it was changed, AccessError for a recipient that is none.
    """
    if to.exists():
        raise RunError(f"{to} is there already.", "Name another file with --to, or remove it.")
    product = _product(folder)
    recipients = sealing.recipients(named) if named else []
    content = parcel.pack({name: (product / name).read_bytes() for name in PARTS})
    _write(to, sealing.seal(content, recipients) if recipients else content)
    about = json.loads((product / ABOUT).read_text("utf-8"))
    real = len(about.get("provenance", {}).get("real_rows", ()))
    return Sent(str(to), file_key(product / SUMS), len(recipients), real)


def open_export(file: Path, to: Path, identity: Path | None = None) -> dict[str, Any]:
    """Unpack an export into a new folder that `Distilled.load` reads; returns its facts. All of it or nothing.

    Raises AccessError where it is no export, was changed or cut, or is meant for others.
    """
    if to.exists():
        raise RunError(f"{to} is there already.", "Name another folder with --to.")
    files = _checked(parcel.unpack(_content(file, identity)))
    to.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{to.name}", dir=to.parent))  # only its owner can enter it
    try:
        for name, content in files.items():
            (unfinished / name).write_bytes(content)
        if changes(unfinished)[1]:
            raise AccessError("The files in it are not what its manifest says.", "Ask who sent it to send it again.")
        unfinished.rename(to)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    return {"folder": str(to), "content": file_key(to / SUMS), "files": sorted(files)}


def _product(folder: Path) -> Path:
    """The folder of the distilled set, which is whole and untouched."""
    found = folder
    if (folder / RECIPE).exists():
        from dilm import pipeline  # which opens libraries that nothing else here needs
        from dilm.stages.report import PRODUCT

        run, found = runs.existing(folder), folder / PRODUCT
        if pipeline.states(run)["report"] != "done":
            raise RunError(f"The run in {folder} has no finished product.", f"Run `dilm report {folder}` first.")
    if missing := [name for name in PARTS if not (found / name).is_file()]:
        raise RunError(f"{found} is no distilled set: it has no {missing[0]}.", "Name a run, or what `save` wrote.")
    if faults := [fault for fault in changes(found)[1] if fault.what != "additional"]:
        raise RunError(
            f"{found / faults[0].path} is not as it was written ({faults[0].what}).",
            "Restore it, or make the product anew with `dilm report`.",
        )
    return found


def _content(file: Path, identity: Path | None) -> bytes:
    """The archive in a file, decrypted where it was encrypted."""
    for path in (file, *([identity] if identity else [])):
        if not path.is_file():
            raise AccessError(f"{path} is no file.", "Name one that is there.")
    if file.stat().st_size > LARGEST:
        raise AccessError(f"{file} is larger than {LARGEST >> 20} MB.", "No distilled set is; ask who sent it.")
    content = file.read_bytes()
    if not sealing.is_sealed(content):
        return content
    if identity is None:
        raise AccessError(f"{file} is encrypted.", "Name the file of your secret key with --identity.")
    return sealing.unseal(content, identity.read_bytes())


def _checked(files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    if set(files) != set(PARTS):
        raise AccessError(f"It holds {', '.join(sorted(files)) or 'nothing'}, which is no distilled set.", "Ask again.")
    return files


def _write(to: Path, content: bytes) -> None:
    """All of it or nothing, and for its owner alone."""
    to.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(prefix=f".{to.name}", dir=to.parent)
    try:
        with os.fdopen(handle, "wb") as writing:
            writing.write(content)
            writing.flush()
            os.fsync(writing.fileno())
        os.replace(unfinished, to)
    except BaseException:
        os.unlink(unfinished)
        raise
