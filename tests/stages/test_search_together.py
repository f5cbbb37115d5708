"""Several trials at a time: what becomes of a search whose processes are killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dilm.recipe import book
from dilm.searching import spaces, together, tuning


def killed(*_: object) -> int:
    """In the place of a process's part."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_search_goes_on_alone_where_its_processes_are_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    recipe = book.read("toy")
    space = spaces.of({"select.long": {"low": 0.3, "high": 1.0}}, recipe)
    monkeypatch.setattr(together, "_part", killed)
    monkeypatch.setattr(tuning, "search", lambda wanted: (wanted.out, wanted.trials))
    assert together.search(tuning.Search(recipe, space, tmp_path / "out", 3), 2) == (tmp_path / "out", 3)
