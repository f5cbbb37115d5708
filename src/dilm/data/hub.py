"""Rows from the Hugging Face hub, and from folders that its library saved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from dilm.data.tables import Table, names_of_classes
from dilm.errors import DataError, ResourceError, first_line

if TYPE_CHECKING:
    import datasets

ID = re.compile(r"(?P<path>[\w.-]+/[\w.-]+)(:(?P<config>[\w.-]+))?(@(?P<revision>[\w./-]+))?")
"""`org/name`, `org/name:config`, and either with `@revision`."""

SECONDS_TO_ANSWER = 5.0

CACHED = "Where it was fetched before, HF_HUB_OFFLINE=1 reads it from the cache."


def fetch(name: str, remedy: str) -> dict[str, Table]:
    """Every split of the dataset that a hub id names; `remedy` is what to do where the hub cannot be reached."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import constants

    address = ID.fullmatch(name)
    assert address, "the caller asks only for hub ids"
    if not (constants.HF_HUB_OFFLINE or _answers(constants.ENDPOINT)):
        raise ResourceError(f"The hub cannot be reached for dataset {name}.", f"{remedy} {CACHED}")
    path, config, revision = address.group("path", "config", "revision")
    try:
        return _tables(datasets.load_dataset(path, config, revision=revision), name)
    except DatasetNotFoundError as fault:
        raise DataError(f"The hub has no dataset {name}, or it needs a login: {first_line(fault)}", remedy) from fault
    except OSError as fault:
        raise ResourceError(f"Dataset {name} cannot be fetched: {first_line(fault)}.", remedy) from fault
    except (ValueError, RuntimeError) as fault:
        hint = "Name a configuration, org/name:config, or another revision, org/name@refs/convert/parquet."
        raise DataError(f"Dataset {name} cannot be read: {first_line(fault)}", hint) from fault


def read_saved(folder: Path) -> dict[str, Table]:
    """Every split of a folder that `save_to_disk` of the `datasets` library wrote."""
    import datasets

    try:
        return _tables(datasets.load_from_disk(str(folder)), folder.name)
    except (OSError, ValueError) as fault:
        raise DataError(
            f"Folder {folder} is damaged: {first_line(fault)}", "Save it again with save_to_disk."
        ) from fault


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any((folder / mark).is_file() for mark in ("dataset_dict.json", "state.json"))


def _tables(found: Any, name: str) -> dict[str, Table]:
    """A table for each split; a dataset without splits is train."""
    splits = found if isinstance(found, Mapping) else {"train": found}
    return {str(split): _table(rows, f"{name} ({split})") for split, rows in splits.items()}


def _table(rows: datasets.Dataset, name: str) -> Table:
    return Table(name, {column: list(rows[column]) for column in rows.column_names}, names_of_classes(rows.features))


def _answers(address: str) -> bool:
    """Whether a server answers: asked once and briefly, for the hub's own library retries for half a minute."""
    try:
        urlopen(Request(address, method="HEAD"), timeout=SECONDS_TO_ANSWER).close()
    except HTTPError:
        return True
    except OSError:
        return False
    return True
