"""What guards personal data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dilm.api.begun import recipe_for
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
