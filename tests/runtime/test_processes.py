"""Several processes give what one gives; who is launched alone, or not at all, loads and waits for nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from crew_at_work import continued, net, trained
from hypothesis import given
from hypothesis import strategies as st
from launching import launch

from dilm.errors import RecipeError
from dilm.runtime import processes, workers
from dilm.runtime.device import one_each
from dilm.runtime.processes import ALONE, Crew, Elsewhere
from dilm.runtime.shards import fair

AT_WORK = Path(__file__).with_name("crew_at_work.py")


class Wired:
    """A wire of which only the length is asked."""

    def __init__(self, size: int) -> None:
        self.size = size


@given(count=st.integers(0, 40), size=st.integers(1, 9))
def test_shares_are_even_and_together_all(count: int, size: int):
    shares = [Crew(rank, rank, Wired(size)).share(range(count)) for rank in range(size)]  # type: ignore[arg-type]
    assert sorted(item for share in shares for item in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.fixture(scope="module")
def crew() -> list[dict[str, Any]]:
    """What each of three processes found, by rank."""
    ended = launch([str(AT_WORK)], 3)
    assert [process.code for process in ended] == [0, 0, 0], ended
    return [json.loads(process.stdout) for process in ended]


def test_each_knows_its_place_and_its_share(crew: list[dict[str, Any]]):
    size = len(crew)
    assert [found["rank"] for found in crew] == list(range(size)) == crew[0]["gathered"]
    assert sorted(item for found in crew for item in found["share"]) == list(range(7))
    assert [found["empty"] for found in crew] == [[0], *[[]] * (size - 1)]


def test_what_the_first_finds_all_are_told(crew: list[dict[str, Any]]):
    assert len({found["told"] for found in crew}) == 1
    assert {found["mean"] for found in crew} == {3.0}
    assert crew[0]["relayed"] == "wrong mend it; NoneType"
    assert {found["relayed"] for found in crew[1:]} == {"wrong mend it; Elsewhere"}
    assert [found["alike"] for found in crew] == [[1.0] * 4] * len(crew)


def test_one_of_those_that_met_a_fault_tells(crew: list[dict[str, Any]]):
    assert [found["tells"] for found in crew].count(True) == 1
    relayed = RecipeError("wrong", "mend it")
    relayed.__cause__ = Elsewhere()
    assert ALONE.tells(RecipeError("wrong", "mend it")) and not ALONE.tells(relayed)


@pytest.mark.parametrize("rows", [1, 5])
def test_shared_steps_are_the_steps_of_one_process(crew: list[dict[str, Any]], rows: int):
    """With unequal shares, and with empty ones."""
    found = [process["trained"][str(rows)] for process in crew]
    assert all(process == found[0] for process in found)  # bit for bit among themselves
    assert found[0] == pytest.approx(trained(ALONE, rows), abs=1e-6)


def test_moments_are_kept_once_and_a_checkpoint_has_them_all(crew: list[dict[str, Any]]):
    alone, found = continued(ALONE), [process["continued"] for process in crew]
    touched = sum(each.numel() for name, each in net().named_parameters() if "idle" not in name)
    for at in (0, 1):
        kept = [each["kept"][at] for each in found]
        assert sum(kept) == alone["kept"][at] == touched and max(kept) < touched
    for each in found:
        assert each["ends"] == found[0]["ends"] and each["ends"][0] == each["ends"][1] != each["begun"]
        assert each["saved"] == alone["saved"]
        assert each["ends"][0] == pytest.approx(alone["ends"][0], abs=1e-6)


def test_nobody_waits_for_a_process_that_is_short_of_memory(crew: list[dict[str, Any]]):
    (said,) = {found["short"] for found in crew}
    assert "Memory ran out in a step of several processes (CUDA out of memory (said so))." in said


@given(sizes=st.lists(st.integers(1, 50)), parts=st.integers(1, 9))
def test_no_process_keeps_much_more_than_another(sizes: list[int], parts: int):
    found = fair(sizes, parts)
    sums = [sum(size for size, part in zip(sizes, found, strict=True) if part == number) for number in range(parts)]
    assert sum(sums) == sum(sizes) and max(sums) - min(sums) <= max(sizes, default=0)


def test_dropout_differs_from_process_to_process(crew: list[dict[str, Any]]):
    assert len({found["drawn"] for found in crew}) == len(crew)


def test_who_was_not_launched_is_alone_and_loads_nothing(monkeypatch: pytest.MonkeyPatch):
    for name in processes.NEEDED:
        monkeypatch.delenv(name, raising=False)
    probe = "import sys; from dilm.runtime import processes as p; print(p.crew() is p.ALONE, 'torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for launcher in ({}, {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, {"WORLD_SIZE": "8"}):
        told = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=environment | launcher)
        assert told.stdout == "True False\n", told.stderr


def test_workers_of_a_process_have_no_rank(monkeypatch: pytest.MonkeyPatch):
    for name in processes.NEEDED:
        monkeypatch.setenv(name, "2")
    assert processes.launched()
    assert [result for _, result in workers.run(launched, [0], 2)] == [False]


def launched(_: int) -> bool:
    return processes.launched()


def test_gpus_are_dealt_out(monkeypatch: pytest.MonkeyPatch):
    second, third = (Crew(number, number, Wired(3)) for number in (1, 2))  # type: ignore[arg-type]
    dealt: list[int] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", dealt.append)
    assert [one_each(name, second) for name in ("auto", "cuda", "cpu")] == ["cuda:1", "cuda:1", "cpu"]
    assert dealt == [1, 1] and one_each("cuda:1", ALONE) == "cuda:1"
    with pytest.raises(RecipeError, match="share"):
        one_each("cuda:1", second)
    with pytest.raises(RecipeError, match="more processes than GPUs"):
        one_each("auto", third)
