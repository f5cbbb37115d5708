"""A chain of lines: whatever is changed in it is found, and half a line that a kill left is nothing but that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilm.errors import RunError
from dilm.privacy.chain import BEGIN, TAIL, append, read

ROWS = st.lists(st.dictionaries(st.sampled_from(("act", "who", "ü")), st.text(max_size=8), min_size=1), max_size=6)


def written(folder: Path, rows: list[dict]) -> Path:
    file = folder / f"log-{time.monotonic_ns()}.jsonl"
    file.touch()
    for row in rows:
        append(file, row)
    return file


@given(rows=ROWS)
def test_what_was_written_is_read_and_in_order(rows: list[dict], tmp_path_factory):
    found = read(written(tmp_path_factory.getbasetemp(), rows))
    assert not found.faults and not found.torn
    assert [{name: row[name] for name in said} for row, said in zip(found.rows, rows, strict=True)] == rows
    heads = [BEGIN, *(row["hash"] for row in found.rows)]
    assert [found.since(head) for head in heads] == list(range(len(rows), -1, -1))
    assert found.since("f" * 64) is None and found.head == heads[-1]


@given(rows=ROWS, data=st.data())
def test_any_changed_byte_is_found(rows: list[dict], data: st.DataObject, tmp_path_factory):
    """But in the line end that the last line has: a chain without it is the same chain."""
    file = written(tmp_path_factory.getbasetemp(), [*rows, {"act": "last"}])
    content, before = bytearray(file.read_bytes()), read(file)
    at = data.draw(st.integers(0, len(content) - 2))
    content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    file.write_bytes(content)
    after = read(file)
    assert after.faults or after.torn or after.head != before.head
    assert after.faults or after.since(before.head) is None  # whoever noted the head always finds it


@given(rows=ROWS.filter(lambda rows: len(rows) > 2), data=st.data())
def test_removed_moved_and_added_lines_are_found(rows: list[dict], data: st.DataObject, tmp_path_factory):
    file = written(tmp_path_factory.getbasetemp(), rows)
    lines = file.read_bytes().splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 2))
    removed = lines[:at] + lines[at + 1 :]
    moved = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
    doubled = [*lines[: at + 1], *lines[at:]]
    for changed in (removed, moved, doubled):
        file.write_bytes(b"".join(changed))
        assert read(file).faults, changed


def test_lines_that_are_gone_from_the_end_are_found_by_a_noted_head_alone(tmp_path: Path):
    """This the chain cannot tell by itself, as the docs say."""
    file = written(tmp_path, [{"act": str(number)} for number in range(3)])
    head = read(file).head
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    assert not read(file).faults and read(file).since(head) is None


@given(rows=ROWS.filter(bool), data=st.data())
def test_a_line_that_a_kill_cut_is_put_aside_and_said(rows: list[dict], data: st.DataObject, tmp_path_factory):
    file = written(tmp_path_factory.getbasetemp(), rows)
    content = file.read_bytes()
    last = content[:-1].rfind(b"\n") + 1
    cut = data.draw(st.integers(last, len(content)))
    file.write_bytes(content[:cut])
    found = read(file)
    whole = cut >= len(content) - 1
    assert not found.faults and len(found.rows) == len(rows) - (not whole)
    assert found.torn == (last < cut < len(content) - 1)
    append(file, {"act": "next"})
    mended = read(file)
    assert not mended.faults and not mended.torn and mended.rows[:-1] == found.rows
    assert mended.rows[-1].get("torn_before", 0) == (cut - last if found.torn else 0)


def test_a_very_long_line_is_followed_like_any_other(tmp_path: Path):
    file = written(tmp_path, [{"act": "a" * (3 * TAIL)}, {"act": "b"}, {"act": "c" * (2 * TAIL)}, {"act": "d"}])
    assert len(read(file).rows) == 4 and not read(file).faults


def test_nothing_is_added_to_a_damaged_end(tmp_path: Path):
    file = written(tmp_path, [{"act": "a"}])
    file.write_bytes(file.read_bytes() + b"not json\n")
    with pytest.raises(RunError, match="damaged"):
        append(file, {"act": "b"})


WRITER = """
import sys
from pathlib import Path
from dilm.privacy.chain import append
number = 0
while True:
    append(Path(sys.argv[1]), {"act": "count", "number": number, "long": "x" * 5000})
    number += 1
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_writer_that_is_killed_at_any_moment_leaves_a_chain(tmp_path: Path):
    file, known = tmp_path / "log.jsonl", 0
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for wait in (0.02, 0.05):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], env=environment)
        deadline = time.monotonic() + 30
        while not file.exists() or file.stat().st_size < known + 20_000:
            assert process.poll() is None and time.monotonic() < deadline
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = read(file)
        assert not found.faults and found.rows
        known = file.stat().st_size
    numbers = [json.loads(line)["number"] for line in file.read_bytes().split(b"\n")[:-1] if line]
    assert numbers.count(0) == 2  # both writers began, the second after what the first left
