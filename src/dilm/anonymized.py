"""Files with stand-ins in the place of personal data: every cell is looked at, all else is written as it was."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dilm import cleaning
from dilm.data.columns import LABEL_NAMES
from dilm.data.sheets import Sheet, read_sheets
from dilm.data.tables import READERS
from dilm.errors import DataError, did_you_mean
from dilm.privacy.anonymize import Where, anonymize
from dilm.privacy.stand_ins import SALT_BYTES, StandIns
from dilm.privacy.survey import Survey
from dilm.recipe import Recipe
from dilm.runtime.progress import bar


@dataclass(frozen=True)
class Columns:
    """Which columns are looked at; where none is named, all but the label."""

    texts: tuple[str, ...] = ()
    label: str = ""

    def of(self, sheet: Sheet) -> list[str]:
        """Those of one table. Raises DataError for a column that it does not have, or that cannot be looked into."""
        known = sheet.table.columns
        for name in (*self.texts, *([self.label] if self.label else [])):
            if name not in known:
                raise DataError(f"{sheet.name} has no column {name!r}.", did_you_mean(name, known, "Columns"))
        label = (self.label,) if self.label else [name for name in known if name.lower() in LABEL_NAMES]
        found = list(self.texts) or [name for name in known if name not in label]
        for name in found:
            if odd := next((cell for cell in known[name] if isinstance(cell, list | dict | bytes)), None):
                raise DataError(
                    f"Column {name!r} of {sheet.name} holds {type(odd).__name__} cells, which cannot be looked into.",
                    "Take them apart, or name the columns to look at with --text; the others stay as they are.",
                )
        return found


def anonymize_files(source: str | Path, out: Path, columns: Columns, recipe: Recipe) -> tuple[list[Path], Survey]:
    """Write the source anew into a file or folder; returns what was written, and what was found.

    The salt is drawn for this one call and then forgotten: hashes and pseudonyms are alike within it, over all files.
    """
    sheets = read_sheets(source)
    targets = _targets(Path(source).expanduser(), sheets, out)
    cells = {where: text for sheet in sheets for where, text in _cells(sheet, columns).items()}
    panel, stand_ins = cleaning.panel(recipe), StandIns(recipe.anonymize.operator, secrets.token_bytes(SALT_BYTES))
    with bar("look for personal data", len(set(cells.values()))) as advance:
        new, survey = anonymize(cells, panel, stand_ins, advance)
    changed = {where: text for where, text in new.items() if text != cells[where]}
    for sheet, target in zip(sheets, targets, strict=True):
        first = sheet.table.first_row
        sheet.write(
            target, {(row - first, name): text for (of, row, name), text in changed.items() if of == sheet.name}
        )
    return targets, survey


def _cells(sheet: Sheet, columns: Columns) -> dict[Where, str]:
    """Whatever can be read as text; a number may be one of a telephone, but no fraction and no truth is."""
    return {
        (sheet.name, row, name): str(cell)
        for name in columns.of(sheet)
        for row, cell in enumerate(sheet.table.columns[name], start=sheet.table.first_row)
        if cell is not None and not isinstance(cell, bool | float) and str(cell).strip()
    }


def _targets(source: Path, sheets: Sequence[Sheet], out: Path) -> list[Path]:
    """Where each table goes. Raises DataError for another format, and where a source would be written over."""
    to_file = out.suffix.lower() in READERS and not out.is_dir()
    ending = Path(sheets[0].name).suffix
    if to_file and (len(sheets) > 1 or out.suffix.lower() != ending.lower()):
        raise DataError(
            f"{out} cannot hold what is read: {', '.join(sheet.name for sheet in sheets[:5])}.",
            f"Name a file that ends in {ending}." if len(sheets) == 1 else "Name a folder with --out.",
        )
    targets = [out] if to_file else [out / sheet.name for sheet in sheets]
    read = {(source if source.is_file() else source / sheet.name).resolve() for sheet in sheets}
    if any(target.resolve() in read for target in targets):
        raise DataError(f"{out} is what is read.", "Name another file or folder with --out.")
    return targets
