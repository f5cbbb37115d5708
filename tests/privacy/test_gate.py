"""Nobody reads a row without a purpose, or outside of it; what is read is noted first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilm.errors import AccessError
from dilm.privacy.gate import Gate, Guarded, Purpose
from dilm.types import Dataset, Example, Splits, Task

TASK = Task("films", ("text",), ("bad", "good"))
SPLITS = Splits(*(Dataset(TASK, [Example((name,), 0)]) for name in ("train", "dev", "test")))
NAMES = ("train", "dev", "test")


def guarded(noted: list[tuple[str, str]], opened: list[str] | None = None) -> Guarded:
    def read() -> Splits:
        if opened is not None:
            opened.append("read")
        return SPLITS

    return Guarded(Gate(lambda purpose, split: noted.append((purpose.who, split))), read)


@pytest.mark.parametrize("what", [*NAMES, "task"])
def test_without_a_purpose_nothing_is_read(what: str):
    noted, opened = [], []
    with pytest.raises(AccessError, match="nobody said what for"):
        getattr(guarded(noted, opened), what)
    assert noted == opened == []


@given(st.sets(st.sampled_from(NAMES)), st.lists(st.sampled_from(NAMES)))
def test_a_purpose_gives_its_own_splits_and_no_others(declared: set[str], asked: list[str]):
    noted, rows = [], None
    splits = guarded(noted)
    with splits.gate.opened(Purpose("fit", dict.fromkeys(declared, "to learn"))):
        assert splits.task is TASK
        for name in asked:
            if name in declared:
                rows = getattr(splits, name)
                assert rows is getattr(SPLITS, name)
            else:
                with pytest.raises(AccessError, match=f"asks for {name} rows"):
                    getattr(splits, name)
    first = dict.fromkeys(name for name in asked if name in declared)
    assert noted == [("fit", name) for name in first]  # each once, in the order of reading


def test_a_purpose_within_another_is_the_narrower_one():
    noted: list[tuple[str, str]] = []
    splits = guarded(noted)
    with splits.gate.opened(Purpose("outer", {"train": "a"})):
        with splits.gate.opened(Purpose("inner", {"dev": "b"})):
            assert splits.dev
            with pytest.raises(AccessError, match="'inner'"):
                _ = splits.train
        assert splits.train
    with pytest.raises(AccessError):
        _ = splits.train
    assert noted == [("inner", "dev"), ("outer", "train")]


def test_rows_whose_reading_cannot_be_noted_are_not_handed_out():
    def refuse(purpose: Purpose, split: str) -> None:
        raise OSError("disk full")

    splits = Guarded(Gate(refuse, Purpose("fit", {"train": "a"})), lambda: SPLITS)
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            _ = splits.train
