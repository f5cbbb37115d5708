"""What guards personal data, and what people made of it: stand-ins, seals, exports, quotas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dilm.api.begun import existing_run, recipe_for
from dilm.runtime.processes import crew


def anonymize(
    source: str | Path,
    out: str | Path,
    *,
    text: str | Sequence[str] = (),
    label: str | None = None,
    operator: str = "replace",
    patterns: str | Path | None = None,
    ner: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a file or folder anew with stand-ins for personal data; returns what was found where, never what it was.

    `text` names the columns to look at, all but the label where it is left out.
    """
    from dilm.anonymized import Columns, anonymize_files

    said = {"anonymize.patterns": patterns and str(patterns), "anonymize.ner": ner}
    given = {name: value for name, value in said.items() if value} | dict(settings or {})
    recipe = recipe_for("", anonymize=operator, settings=given, recipe="default")
    columns = Columns((text,) if isinstance(text, str) else tuple(text), label or "")
    written, survey = crew().told(lambda: anonymize_files(source, Path(out), columns, recipe))
    return {"written": [str(path) for path in written], **survey.plain()}


def verify(folder: str | Path, head: str = "") -> dict[str, Any]:
    """Whether a run, or a folder with a distilled set, is as it was written: `faults` names every file that is not.

    `head` is the run's `head` as it was noted elsewhere: without it nobody sees where all was written anew.
    """
    from dilm import verified

    return asdict(verified.verify(Path(folder), head))


def export(folder: str | Path, to: str | Path, encrypt_to: str | Path | Sequence[str | Path] = ()) -> dict[str, Any]:
    """Write the product of a run into one file, encrypted to the recipients, where there are any: `age1...` keys,
    ssh-ed25519 public keys, or files of them.
    """
    from dilm import exported

    named = [encrypt_to] if isinstance(encrypt_to, str | Path) else encrypt_to
    return asdict(exported.export(Path(folder), Path(to), [str(name) for name in named]))


def open_export(file: str | Path, to: str | Path, identity: str | Path | None = None) -> Path:
    """Decrypt, check and unpack what `export` wrote into a new folder, for `Distilled.load`; returns the folder."""
    from dilm import exported

    return Path(exported.open_export(Path(file), Path(to), Path(identity) if identity else None)["folder"])


def quota(run: str | Path, texts: int | None = None) -> dict[str, int | None]:
    """How many texts may be written from a run whose generator is shared, how many were, how many are left.

    With `texts`, that many from now on, those of before included.
    """
    from dilm import quotas

    found = existing_run(run)
    now = quotas.read(found) if texts is None else quotas.limit(found, texts)
    return asdict(now) | {"left": now.left}
