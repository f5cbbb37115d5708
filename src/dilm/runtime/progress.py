"""Progress of long stages on standard error: a bar with time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[..., None]
"""`advance(steps=1, **facts)`: facts are shown beside the bar, for example `nll=2.31`."""

SECONDS_BETWEEN_LINES = 20.0


@contextmanager
def bar(title: str, total: int, done: int = 0) -> Iterator[Advance]:
    """Show progress of `total` steps, `done` of them before now. `DILM_PROGRESS=none` silences it."""
    if os.environ.get("DILM_PROGRESS") == "none":
        yield lambda steps=1, /, **facts: None
    elif sys.stderr.isatty():
        with _rich_bar(title, total, done) as advance:
            yield advance
    else:
        yield _plain_lines(title, total, done)


@contextmanager
def _rich_bar(title: str, total: int, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        row = progress.add_task(title, total=total, completed=done, facts="")

        def advance(steps: int = 1, /, **facts: object) -> None:
            shown = {"facts": _facts(facts)} if facts else {}
            progress.update(row, advance=steps, **shown)  # type: ignore[arg-type]

        yield advance


def _plain_lines(title: str, total: int, done: int) -> Advance:
    start = last = time.monotonic()
    at = done

    def advance(steps: int = 1, /, **facts: object) -> None:
        nonlocal at, last
        at += steps
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES and at < total:
            return
        last = now
        left = (now - start) / max(at - done, 1) * (total - at)
        print(
            f"{title}: {at}/{total}, {now - start:.0f} s, {left:.0f} s left {_facts(facts)}".rstrip(), file=sys.stderr
        )

    return advance


def _facts(facts: dict[str, object]) -> str:
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in facts.items()
    )
