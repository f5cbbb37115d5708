"""`load`: whatever holds labelled text -> train, dev and test, checked and reproducible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dilm.data.columns import Roles, choose, class_names, is_labelled, to_dataset
from dilm.data.sources import Source, find, read_file
from dilm.data.splits import carve
from dilm.data.tables import Table
from dilm.data.targets import Wanted, read_targets
from dilm.errors import DataError
from dilm.runtime.seeding import derive
from dilm.types import Dataset, Splits, Task

DEV_SHARE, TEST_SHARE = 0.1, 0.2


@dataclass(frozen=True)
class Limits:
    """How many rows play which part, and whether unusable rows may be left out."""

    dev_rows: int = 1000
    """At most this many rows, or a tenth of train if that is less, are carved from train to decide by."""
    test_rows: int = 2000
    """At most this many rows, or a fifth of train, are carved to be scored, where the source has no test split."""
    train_rows: int = 0
    """About this many rows are left to learn from, in the classes' proportions, two of each class or more; 0 is all."""
    min_rows: int = 2
    """Rows that every class must have."""
    drop_empty: bool = False
    """Leave out rows with an empty or non-text cell instead of raising."""
    user: str = ""
    """Column that says whose a train row is, before anything is carved: one row of each is kept. Empty: all rows."""


DEFAULTS = Limits()


def load(
    source: str | Path,
    *,
    text: str | Sequence[str] = (),
    label: str | None = None,
    test: str | Path | None = None,
    limits: Limits = DEFAULTS,
    seed: int = 0,
) -> Splits:
    """Read a file, a folder, a hub id (`org/name:config`) or a known task into train, dev and test.

    `text` names the text columns in reading order (two for pairs) and `label` the class column; both may be left out
    where only one column can be meant. The scored split is `test` if given, else the source's own labelled test or
    validation split, else carved from train. Raises DataError with what to do for anything that a dataset must not be.
    """
    train, scored = read(source, text=text, label=label, test=test, limits=limits)
    return divide(train, scored, limits, seed)


def read(
    source: str | Path,
    *,
    text: str | Sequence[str] = (),
    label: str | None = None,
    target: str = "",
    test: str | Path | None = None,
    limits: Limits = DEFAULTS,
) -> tuple[Dataset, Dataset | None]:
    """The rows of the train split, and those to be scored where there are any, before anything is carved.

    With a `target` column the task is to write it, and its rows have one condition until they are clustered.
    `max_tokens` of the task is 0 where nobody named it.
    """
    found = find(source)
    named = (text,) if isinstance(text, str) and text else tuple(text)
    if target or (found.page and found.page.target and not label):
        if limits.user:
            raise DataError("data.user is for tasks with classes.", "Leave it out, or keep one row of each user first.")
        drops = limits.drop_empty or bool(found.page and found.page.drop_empty)
        return read_targets(found, Wanted(named, target, label or ""), test, drops)
    roles = _roles(found, named, label or None)
    table = found.tables["train"]
    train = to_dataset(table, replace(roles, user=limits.user), _task(found, roles), limits.drop_empty)
    _check_classes(train, table.name, limits.min_rows)
    scored = _scored(found, roles, test)
    return train, to_dataset(scored, roles, train.task, limits.drop_empty) if scored else None


def read_rows(source: str | Path, *, text: Sequence[str], label: str | None, drop_empty: bool = False) -> Dataset:
    """All rows of a file, folder or task, of whatever classes it has: one holder may lack some.

    Of a source with several splits, those of train.
    """
    found = find(source)
    roles = _roles(found, tuple(text), label)
    return to_dataset(found.tables["train"], roles, _task(found, roles), drop_empty)


def divide(train: Dataset, scored: Dataset | None, limits: Limits, seed: int) -> Splits:
    """Carve dev, and test where no rows are to be scored; the longest text is estimated where nobody named it."""
    task = train.task if train.task.max_tokens else replace(train.task, max_tokens=estimate_max_tokens(train))
    train = Dataset(task, train.examples)
    if scored is not None:
        tested = Dataset(task, scored.examples)
    else:
        train, tested = _carve(train, TEST_SHARE, limits.test_rows, derive(seed, "test"))
    train, dev = _carve(train, DEV_SHARE, limits.dev_rows, derive(seed, "dev"))
    return Splits(_shorten(train, limits.train_rows, derive(seed, "train")), dev, tested)


def estimate_max_tokens(dataset: Dataset) -> int:
    """Tokens that hold 99 of 100 texts, all fields together, 32 to 512.

    Generous, at 2.5 bytes a token: of a text that does not fit only a passage is learnt.
    """
    sizes = sorted(sum(len(text.encode("utf-8", "replace")) for text in example.texts) for example in dataset)
    return min(max(round(sizes[int(0.99 * (len(sizes) - 1))] / 2.5) + 4, 32), 512)


def _roles(found: Source, text: tuple[str, ...], label: str | None) -> Roles:
    """The columns that the user named; for a known task its page fills the gaps."""
    if found.page:
        text, label = text or found.page.fields, label or found.page.label
    return choose(found.tables["train"], text, label)


def _task(found: Source, roles: Roles) -> Task:
    labels = class_names(found.tables["train"], roles.label)
    if not found.page:
        return Task(found.name, roles.texts, labels, max_tokens=0)
    prompt = found.page.prompt if (roles.texts, roles.label) == (found.page.fields, found.page.label) else ""
    return Task(found.name, roles.texts, labels, found.page.metric, prompt=prompt, max_tokens=found.page.max_tokens)


def _scored(found: Source, roles: Roles, test: str | Path | None) -> Table | None:
    """The split to score on: the user's own file, else the source's, as long as it has answers."""
    if test:
        table, train = read_file(Path(test).expanduser()), found.tables["train"]
        return replace(table, class_names={**train.class_names, **table.class_names})
    given = (found.tables[split] for split in ("test", "validation") if split in found.tables)
    return next((table for table in given if is_labelled(table, roles.label)), None)


def _check_classes(train: Dataset, name: str, min_rows: int) -> None:
    """Raise DataError unless there are two classes or more, each with rows enough."""
    labels = train.task.labels
    if len(labels) < 2:
        raise DataError(
            f"Two classes are needed; {name} has {' and '.join(map(repr, labels)) or 'none'}.",
            "Choose another column with --label, or add rows of another class.",
        )
    few = [f"{label!r} ({count})" for label, count in zip(labels, train.counts, strict=True) if count < min_rows]
    if few:
        raise DataError(
            f"{len(few)} of {len(labels)} classes in {name} have fewer than {min_rows} rows: {', '.join(few[:5])}"
            f"{', …' if len(few) > 5 else ''}.",
            "Add rows, remove or merge those classes, or choose another column with --label.",
        )


def _carve(train: Dataset, share: float, most: int, seed: int) -> tuple[Dataset, Dataset]:
    """Carve a share of train, at least a row and at most `most`."""
    rest, carved = carve(train, min(most, max(1, round(share * len(train)))), seed)
    if most and not len(carved):
        raise DataError(
            f"Task {train.task.name} has too few different rows to set some aside.",
            "Four in some class are the least, or three with a file to score on (--test); hundreds are better.",
        )
    return rest, carved


def _shorten(train: Dataset, rows: int, seed: int) -> Dataset:
    """About `rows` rows of train, at least two of every class; all for 0."""
    return carve(train, len(train) - rows, seed)[0] if 0 < rows < len(train) else train
