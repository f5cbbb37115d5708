"""Too little memory: work goes on with fewer rows, and says so; what fits, or fails otherwise, is left alone."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shortages import FULL

from dilm.errors import ResourceError
from dilm.runtime import memory
from dilm.runtime.memory import Appetite


def fitting(limit: int):
    """Work for which memory suffices up to so many rows; the numbers that each attempt draws."""
    tried: list[tuple[int, float]] = []

    def work(rows: int) -> int:
        tried.append((rows, torch.rand(1).item()))
        if rows > limit:
            raise RuntimeError(FULL)
        return rows

    return work, tried


@given(most=st.integers(1, 200), limit=st.integers(1, 200))
@settings(max_examples=8)  # each failed attempt looks through all that Python holds
def test_rows_are_halved_until_they_fit(most: int, limit: int):
    work, tried = fitting(limit)
    found = Appetite().feed(most, work)
    assert found <= limit and [rows for rows, _ in tried] == [most >> times for times in range(len(tried))]
    assert len({number for _, number in tried}) == 1  # every attempt draws the same


def test_what_was_learnt_about_memory_is_kept(caplog: pytest.LogCaptureFixture):
    work, tried = fitting(20)
    appetite = Appetite()
    with caplog.at_level(logging.WARNING):
        assert [appetite.feed(most, work) for most in (64, 64, 8)] == [16, 16, 8]
    assert [rows for rows, _ in tried] == [64, 32, 16, 16, 8]
    assert [record.getMessage() for record in caplog.records] == [
        "Not enough memory for 64 rows at once: going on with 32.",
        "Not enough memory for 32 rows at once: going on with 16.",
    ]


def test_one_row_too_many_is_an_error():
    with pytest.raises(RuntimeError, match="can't allocate"):
        Appetite().feed(8, fitting(0)[0])


def test_other_faults_are_not_tried_again():
    tried = []

    def work(rows: int) -> None:
        tried.append(rows)
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        Appetite().feed(8, work)
    assert tried == [8]


@pytest.mark.parametrize(
    "said",
    [FULL, "CUDA out of memory. Tried", "CUBLAS_STATUS_ALLOC_FAILED when calling", "not enough memory: you tried"],
)
def test_a_shortage_is_known_by_what_is_said(said: str):
    assert memory.is_shortage(RuntimeError(said)) and not memory.is_shortage(RuntimeError("shapes do not match"))


def test_a_shortage_is_known_through_the_error_that_a_user_would_see():
    with pytest.raises(ResourceError) as told, memory.guard("64 rows", "Take fewer."):
        raise MemoryError
    assert memory.is_shortage(told.value) and not memory.is_shortage(ResourceError("The disk is full.", "Empty it."))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_a_peak_is_that_since_it_was_begun():
    """Otherwise every stage would have that of the largest before it."""
    much = torch.ones(2**26)  # 256 MB
    before = memory.peak_mb()
    del much
    memory.give_back()  # as between stages: what an earlier test opened keeps its pages until then
    memory.begin_peak()
    assert memory.peak_mb() < before - 200


FREED = """
from dilm.runtime import memory
memory.return_at_once()
for kept in ([], []):  # freeing once makes glibc keep blocks of that size
    blocks = [bytearray(2**18) for _ in range(400)]
    kept += blocks[::10]
    memory.begin_peak()
    before = memory.peak_mb()
    del blocks
    memory.begin_peak()
    print(before - memory.peak_mb())
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_what_is_freed_is_given_back_though_neighbours_are_kept():
    told = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert all(float(megabytes) > 80 for megabytes in told.stdout.split()), told.stdout


KEPT = """
import resource
import torch
from dilm.runtime import memory

def pages(steps=20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        tensors = [torch.ones(size * 2**18) for size in (1, 20, 5, 10)]  # MB
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

own = pages()
memory.keep_pages()
pages(2)
print(own, pages())
memory.begin_peak()
held = memory.peak_mb()
memory.give_back()
memory.begin_peak()
print(held - memory.peak_mb())
"""


def kept(**environment: str) -> tuple[float, ...]:
    """Pages taken in steps before and after, and megabytes that are given back."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    told = subprocess.run(
        [sys.executable, "-c", KEPT], capture_output=True, text=True, check=True, env=alone | environment
    )
    return tuple(map(float, told.stdout.split()))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_what_a_step_freed_serves_the_next_until_it_is_given_back():
    own, then, returned = kept()
    assert then < own / 10 and returned > 30


def takes(amount: int) -> bool:
    """Whether this glibc keeps blocks so large."""
    asked = f"import ctypes; print(ctypes.CDLL(None).mallopt({memory.M_MMAP_THRESHOLD}, {amount}))"
    return subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_predictions_over_a_vocabulary_serve_the_next_step_where_glibc_keeps_so_large_blocks(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(globals(), "KEPT", KEPT.replace("(1, 20, 5, 10)", "(20, 200, 10)"))
    own, then, returned = kept()
    large = 20 * 200 * 2**20 / resource.getpagesize()  # in as many steps
    assert returned > 20
    assert then < own / 10 if takes(memory.LARGEST) else then >= large


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_whoever_asked_for_little_memory_keeps_no_pages(monkeypatch: pytest.MonkeyPatch):
    own, then, _ = kept()
    monkeypatch.setitem(globals(), "KEPT", KEPT.replace("own = pages()", "own = 0; memory.return_at_once()"))
    assert kept()[1] > 2 * own > 2 * then


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a peak")
def test_what_the_user_told_the_allocator_stays():
    own, then, _ = kept(MALLOC_MMAP_THRESHOLD_="65536")
    assert then > own / 2
