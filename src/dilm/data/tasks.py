"""Pages of known tasks: one YAML file each, in the folder `tasks` beside this module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from dilm.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Hub:
    """Where a task lies on the Hugging Face hub, and what is called otherwise there than on its page."""

    id: str = ""
    splits: Mapping[str, str] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    """Column there -> column of the page."""


@dataclass(frozen=True)
class TaskPage:
    """What is known of a task before its rows are read."""

    name: str
    """Also the name of its folder, inside the one that DILM_DATA names."""
    splits: Mapping[str, str]
    """`train` and `test` -> the split of the source that plays this part."""
    fields: tuple[str, ...]
    label: str
    labels: tuple[str, ...]
    """Class names, in the order of the integers in the label column."""
    metric: str
    prompt: str
    max_tokens: int
    cite: str
    hub: Hub = field(default_factory=Hub)
    """Empty for a task that dilm writes itself."""
    kind: str = "classification"
    """`generation`: the last field, `target`, is what learners write; `label` may then be empty."""
    target: str = ""
    answer: str = ""
    """How a target is checked, see `Task.answer`."""
    merge: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Field -> columns of the source that are joined to it, those that are not empty."""
    drop_empty: bool = False
    """Whether rows with an empty cell, of which the published data has some, are left out."""


def task_names() -> tuple[str, ...]:
    """Names of all pages, sorted.

    >>> "toy" in task_names()
    True
    """
    pages = (resources.files("dilm.data") / "tasks").iterdir()
    return tuple(sorted(page.name.removesuffix(".yaml") for page in pages if page.name.endswith(".yaml")))


def read_task(name: str) -> TaskPage:
    """The page of a task; raises DataError with the nearest name when there is none."""
    if name not in task_names():
        raise DataError(f"There is no task {name!r}.", did_you_mean(name, task_names(), "Tasks"))
    return _page(name)


@cache
def _page(name: str) -> TaskPage:
    import yaml

    text = (resources.files("dilm.data") / "tasks" / f"{name}.yaml").read_text(encoding="utf-8")
    entries: dict[str, Any] = yaml.safe_load(text)
    entries = {"label": "", "labels": (), **entries}
    entries |= {name: tuple(entries[name]) for name in ("fields", "labels")}
    entries["merge"] = {name: tuple(columns) for name, columns in entries.get("merge", {}).items()}
    entries["hub"] = Hub(**entries.get("hub", {}))
    return TaskPage(**entries)
