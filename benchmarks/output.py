"""How every benchmark tells its figures: a Markdown table, one line of JSON, or both as a record."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

RECORDS = Path(__file__).parent / "records"


def parser(described: str | None) -> argparse.ArgumentParser:
    """With the options that all benchmarks share."""
    found = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--json", action="store_true", help="one line with the figures, nothing else")
    found.add_argument("--record", metavar="NAME", help="also write records/NAME.json and records/NAME.md")
    return found


def tell(given: argparse.Namespace, found: Mapping[str, Any], markdown: str) -> None:
    """Print the figures as asked for, and record them with the machine they are of."""
    line = json.dumps({**found, "machine": machine()})
    print(line if given.json else markdown)
    if given.record:
        RECORDS.mkdir(exist_ok=True)
        (RECORDS / f"{given.record}.json").write_text(line + "\n", encoding="utf-8")
        about = ", ".join(f"{name} {value}" for name, value in machine().items())
        (RECORDS / f"{given.record}.md").write_text(f"{markdown}\n\nMachine: {about}.\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code; the load counts this benchmark's own work."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": "tiles" if torch.cpu._is_amx_tile_supported() else vectors_of_bfloat16(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1),
    }


def vectors_of_bfloat16() -> str:
    """How a processor without tiles for it multiplies bfloat16."""
    return "vectors" if torch.cpu._is_avx512_bf16_supported() else "emulated"


def spread(ratios: Sequence[float]) -> list[float]:
    """Median, least and most; nothing of nothing."""
    return [round(value, 2) for value in (statistics.median(ratios), min(ratios), max(ratios))] if ratios else []


def figures(found: Mapping[str, Any]) -> str:
    """One row of a table for each figure, also of those within others.

    >>> print(figures({"speedup": 3, "seconds": {"plain": 6, "ours": 2}}))
    | figure | value |
    |---|--:|
    | speedup | 3 |
    | seconds: plain | 6 |
    | seconds: ours | 2 |
    """
    rows = []
    for name, value in found.items():
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        rows += [(f"{name}: {part}" if part else name, number) for part, number in parts]
    return table(["figure", "value"], rows)


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """In Markdown; the first column is text, the others are numbers."""
    lines = [f"| {' | '.join(names)} |", "|---|" + "--:|" * (len(names) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])
