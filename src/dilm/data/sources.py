"""What a user may name as data, found and read: a task, a file, a folder or a hub id, as one table per split."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dilm.data import hub, toy, toy_pairs, toy_slots
from dilm.data.tables import READERS, Table, concatenate, read_table, readable
from dilm.data.tasks import TaskPage, read_task, task_names
from dilm.errors import DataError, did_you_mean, nearest
from dilm.types import Example

SPLIT_NAMES = {"train": r"train(ing)?", "validation": r"validation|valid|val|dev", "test": r"test"}
"""Split -> what its file may be called; numbered parts may follow."""

WRITERS = {"toy": toy.sentences, "toy_pairs": toy_pairs.pairs, "toy_generation": toy_slots.places}
"""Tasks that need no file: who writes their rows."""
EMBEDDED_ROWS = {"train": 6_000, "test": 1_000}

ELSEWHERE = "Fetch it where there is a network (`datasets.load_dataset(…).save_to_disk(folder)`) and pass that folder."


@dataclass(frozen=True)
class Source:
    """What was found: one table per split; `train` is always there."""

    name: str
    tables: Mapping[str, Table]
    page: TaskPage | None = None


def find(source: str | Path) -> Source:
    """Read what `source` names. A bare task name is the task, even where a folder is called so too: that is `./toy`."""
    name = str(source)
    if not isinstance(source, Path) and name in task_names():
        page = read_task(name)
        return Source(name, _task_tables(page), page)
    path = Path(name).expanduser()
    if path.is_dir():
        return Source(_slug(path.resolve().name), read_folder(path))
    if isinstance(source, Path) or not _names_hub(path, name):
        return Source(_slug(path.stem), {"train": read_file(path)})
    near = nearest(name.partition(":")[2] or name.rpartition("/")[2], task_names())
    tables = hub.fetch(name, f"{ELSEWHERE} Did you mean the task {near}?" if near else ELSEWHERE)
    if "train" not in tables:
        raise DataError(f"Dataset {name} has no train split, only {', '.join(tables)}.", "Name another configuration.")
    return Source(_slug(name), tables)


def read_file(path: Path) -> Table:
    """The rows of one file; raises DataError when it is absent or of an unknown kind, with names that come near."""
    if path.is_file() and path.suffix.lower() in READERS:
        return read_table(path)
    if path.exists():
        raise DataError(f"{path} is no kind of file that dilm reads.", f"It reads {', '.join(READERS)}.")
    folder = "this folder" if path.parent == Path() else str(path.parent)
    beside = [other.name for other in readable(path.parent)]
    files = did_you_mean(path.name, beside, f"Data files in {folder}") if beside else f"No data files are in {folder}."
    tasks = "" if path.suffix else did_you_mean(path.name, task_names(), "Tasks")
    raise DataError(f"There is no file, folder or task {str(path)!r}.", f"{files} {tasks}".strip())


def read_folder(folder: Path) -> dict[str, Table]:
    """The splits of a folder: saved by `datasets`, or files called like their split, here or in `data/`."""
    if hub.is_saved(folder):
        tables = hub.read_saved(folder)
    else:
        files = [*readable(folder), *readable(folder / "data")]
        named = {split: [path for path in files if _is_part(path, name)] for split, name in SPLIT_NAMES.items()}
        tables = {split: _read_parts(paths) for split, paths in named.items() if paths}
    if "train" not in tables:
        raise DataError(
            f"Folder {folder} has no train split.",
            f"Call a file train.csv (or {', '.join(READERS)}) and another test.csv, if you have one.",
        )
    return tables


def _names_hub(path: Path, name: str) -> bool:
    """Whether `org/name` is meant for the hub: no file, not called like one, and no folder here is called `org`."""
    return bool(hub.ID.fullmatch(name)) and not path.parent.is_dir() and path.suffix.lower() not in READERS


def _task_tables(page: TaskPage) -> dict[str, Table]:
    """`train` and `test` of a task: written here, in the folder that DILM_DATA names, or on the hub."""
    if page.name in WRITERS:
        tables, splits = _written(page), page.splits
    elif folder := _local(page):
        tables, splits = read_folder(folder), page.splits
    else:
        tables, splits = _fetched(page), {**page.splits, **page.hub.splits}
    if missing := set(splits.values()) - set(tables):
        raise DataError(f"Task {page.name} has no split {', '.join(missing)} here.", f"Found: {', '.join(tables)}.")
    if page.target:
        return {part: _merged(tables[split], page.merge) for part, split in splits.items()}
    return {part: replace(tables[split], class_names={page.label: page.labels}) for part, split in splits.items()}


def _merged(table: Table, merge: Mapping[str, tuple[str, ...]]) -> Table:
    """A table with columns joined into one, where a page asks for it; an empty cell is left out, none is a fault."""
    columns = dict(table.columns)
    for name, parts in merge.items():
        cells = zip(*(table.columns.get(part, [None] * len(table)) for part in parts), strict=True)
        columns[name] = [" ".join(str(cell) for cell in several if cell) for several in cells]
    return replace(table, columns=columns)


def _local(page: TaskPage) -> Path | None:
    """The task's folder below the one that DILM_DATA names, if it is there."""
    home = os.environ.get("DILM_DATA")
    folder = Path(home or ".", page.name)
    return folder if home and folder.is_dir() else None


def _written(page: TaskPage) -> dict[str, Table]:
    """Rows of an embedded task, always the same ones; no text is in both splits."""
    rows = _write(page.name)
    columns: dict[str, list[object]] = {page.label: [row.label for row in rows]} if page.label else {}
    columns |= {field: [row.texts[place] for row in rows] for place, field in enumerate(page.fields)}
    cut = EMBEDDED_ROWS["train"]
    return {
        "train": Table(f"{page.name} (train)", {name: cells[:cut] for name, cells in columns.items()}),
        "test": Table(f"{page.name} (test)", {name: cells[cut:] for name, cells in columns.items()}),
    }


@cache
def _write(name: str) -> Sequence[Example]:
    return WRITERS[name](sum(EMBEDDED_ROWS.values()), seed=0)


def _fetched(page: TaskPage) -> dict[str, Table]:
    """Rows of a task from the hub, their columns called as on its page."""
    files = " and ".join(f"{split}.parquet" for split in page.splits.values())
    by_hand = f"Or put {files} into a folder {page.name} below one named by DILM_DATA."
    tables = hub.fetch(page.hub.id, f"{ELSEWHERE} {by_hand}")
    rename = page.hub.rename
    return {
        split: replace(table, columns={rename.get(name, name): cells for name, cells in table.columns.items()})
        for split, table in tables.items()
    }


def _read_parts(paths: Sequence[Path]) -> Table:
    """One split from its files, often numbered parts."""
    return concatenate([read_table(path) for path in paths], ", ".join(path.name for path in paths[:3]))


def _is_part(path: Path, name: str) -> bool:
    """Whether a file is called like a split.

    >>> [_is_part(Path(file), "train") for file in ("train.csv", "train-00000-of-00002.parquet", "train_extra.csv")]
    [True, True, False]
    """
    return re.fullmatch(rf"({name})([._-]\d.*)?", path.stem.lower()) is not None


def _slug(name: str) -> str:
    """A name fit for folders and commands.

    >>> _slug("My reviews (2024)")
    'my-reviews-2024'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"
