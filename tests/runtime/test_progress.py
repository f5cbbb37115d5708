"""Progress goes to standard error, in lines where there is no terminal, and is silent when asked."""

from __future__ import annotations

import io
import sys

import pytest

from dilm.runtime import progress
from dilm.runtime.progress import bar


def walk(total: int = 3, done: int = 0, **facts: object) -> None:
    with bar("fit", total, done) as advance:
        for _ in range(total - done):
            advance(1, **facts)


def test_silence_when_asked(monkeypatch, capsys):
    monkeypatch.setenv("DILM_PROGRESS", "none")
    walk(nll=1.0)
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_is_one_line_at_the_end_and_only_on_stderr(monkeypatch, capsys):
    monkeypatch.delenv("DILM_PROGRESS", raising=False)
    walk(nll=2.31456, kept=7)
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith("fit: 3/3") and line.endswith("nll=2.315 kept=7")


def test_a_line_now_and_then_says_what_is_left(monkeypatch, capsys):
    clock = iter([0.0, 30.0, 31.0, 60.0, 61.0])
    monkeypatch.delenv("DILM_PROGRESS", raising=False)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    walk(total=10, done=6)
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "fit: 7/10, 30 s, 90 s left"  # 30 s for one of four steps; steps of earlier runs do not count
    assert second.startswith("fit: 9/10") and last.startswith("fit: 10/10")


def test_a_terminal_gets_a_bar_on_stderr(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("DILM_PROGRESS", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    walk(nll=1.5)
    assert "fit" in sys.stderr.getvalue() and "3/3" in sys.stderr.getvalue()
    assert capsys.readouterr().out == ""


def test_a_fault_inside_passes_through(monkeypatch):
    monkeypatch.setenv("DILM_PROGRESS", "none")
    with pytest.raises(ZeroDivisionError), bar("fit", 1):
        raise ZeroDivisionError


@pytest.mark.parametrize("silent", ["none", ""])
def test_a_fact_may_have_any_name(silent: str, monkeypatch, capsys):
    """Methods are facts in `evaluate`, and users name their own."""
    monkeypatch.setenv("DILM_PROGRESS", silent)
    with bar("evaluate", 1) as advance:
        advance(1, **{"steps": 0.5, "my set": 0.25})
    assert capsys.readouterr().err.strip().endswith("" if silent else "steps=0.5 my set=0.25")
