"""Panels that need no library: detectors made of rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dilm.privacy.pii import Panel
from dilm.privacy.rules import read_rules
from dilm.privacy.stand_ins import form

MAIL = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
NUMBER = r"(?<!\d)\d{6,12}(?!\d)"
SALT = b"a salt of the tests" * 2


def rules_file(folder: Path, **parts: Any) -> Path:
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(parts, allow_unicode=True), encoding="utf-8")
    return file


def panel(folder: Path, operator: str = "replace", **parts: Any) -> Panel:
    """A panel of one detector, which finds addresses and numbers unless a test says what else."""
    rules = read_rules(rules_file(folder, **(parts or {"patterns": {"MAIL": MAIL, "NUMBER": NUMBER}})))
    return Panel((rules,), form(operator, rules.kinds), rules.allowed)
