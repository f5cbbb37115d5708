"""Private runs whose noise comes from a cipher under keys that nobody keeps: nothing can be repeated, all is paid."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from private_runs import EPSILON, write_data

from dilm import api, private
from dilm.build import Bench
from dilm.errors import PrivacyError
from dilm.journal import OWN_CODE
from dilm.privacy.noise import Keyed, Secure
from dilm.runs import Run
from dilm.stages.training import Training

SECURE = {"dp.noise": "secure", "fit.steps": 12, "fit.check_every": 4, "evaluate.steps": 2}
SECURE |= {"generate.attempts": 2000, "match.synthetic": 256}  # few texts of so young a generator are whole


@pytest.fixture(scope="module")
def said(own_cache: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    told = write_data(tmp_path_factory.mktemp("secure"))
    return told | {"settings": told["settings"] | SECURE}


@pytest.fixture(scope="module", autouse=True)
def no_other_noise() -> Iterator[None]:
    """Whoever draws from a kept secret here fails."""

    def refuse(*_: object) -> None:
        raise AssertionError("noise that follows from a kept secret")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keyed, "_stream", refuse)
        yield


def begun(said: dict[str, Any], out: Path, **settings: Any) -> Run:
    return api.open_run(api.recipe_for(**(said | {"settings": said["settings"] | settings})), out)


def stopped_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop before a checkpoint, as a kill would: its steps are paid, and lost."""
    write = Training.checkpoint

    def checkpoint(self: Training) -> None:
        if self.step > steps:
            raise KeyboardInterrupt
        write(self)

    monkeypatch.setattr(Training, "checkpoint", checkpoint)


def steps_paid(run: Run) -> dict[str, int]:
    told = private.spend(Bench(run, OWN_CODE))["mechanisms"]
    return {each["what"].partition(" ")[0]: each["steps"] for each in told}


def fit_until(run: Run, steps: int, patch: pytest.MonkeyPatch) -> None:
    for stage in ("load", "pretrain", "embed"):
        api.run_stage(run, stage)
    with patch.context() as context, pytest.raises(KeyboardInterrupt):
        stopped_after(steps, context)
        api.run_stage(run, "fit")


def test_a_stopped_fit_pays_again_for_what_it_lost(said, tmp_path: Path, monkeypatch):
    run = begun(said, tmp_path / "run", **{"federation.spare": 0.5, "match.steps": 0})
    fit_until(run, 4, monkeypatch)
    assert steps_paid(run) == {"fit": 8}
    api.run_stage(run, "fit")
    assert steps_paid(run) == {"fit": 8 + 8}  # of 12 and a half more: from the checkpoint at 4 on
    assert 0 < private.spend(Bench(run, OWN_CODE))["epsilon"] <= EPSILON


@pytest.mark.slow
def test_a_stopped_run_pays_again_for_what_it_lost_and_goes_to_its_end(said, tmp_path: Path, monkeypatch):
    run = begun(said, tmp_path / "run", **{"federation.spare": 0.5})
    fit_until(run, 4, monkeypatch)
    made = api.distill_run(run)
    assert steps_paid(run) == {"fit": 8 + 8, "match": 1}
    spend = made.provenance.spend
    assert spend["noise"] == "secure" and 0 < spend["epsilon"] <= EPSILON and len(made.data) == 6
    assert spend == private.spend(Bench(run, OWN_CODE)) and "differentially private" in made.provenance.privacy


@pytest.mark.slow
def test_what_is_made_again_is_another_release(said, tmp_path: Path):
    made = api.distill(**said, out=tmp_path / "run")
    run, before = api.existing_run(made.run), (made.run / private.LEDGER).read_bytes()
    assert 0.95 * EPSILON < made.provenance.spend["epsilon"] <= EPSILON
    shutil.rmtree(made.run / "match")
    with pytest.raises(PrivacyError, match="beyond its budget"):
        api.run_stage(run, "match")
    assert (made.run / private.LEDGER).read_bytes() == before


@pytest.mark.slow
def test_without_room_it_stops_where_the_budget_ends_and_keeps_its_work(said, tmp_path: Path, monkeypatch):
    run = begun(said, tmp_path / "run", **{"match.steps": 0})
    fit_until(run, 4, monkeypatch)
    with pytest.raises(PrivacyError, match="beyond its budget"):
        api.run_stage(run, "fit")
    assert (run.folder / "fit" / "checkpoint.pt").exists()
    assert private.spend(Bench(run, OWN_CODE))["epsilon"] <= EPSILON


@pytest.mark.slow
def test_work_is_not_cleared_for_a_release_that_cannot_be_made_again(said, tmp_path: Path):
    """Going back to settings that were paid for: with other noise they are to be paid again, and there is no room."""
    run = begun(said, tmp_path / "run", **{"fit.steps": 16, "match.steps": 0, "federation.spare": 1.0})
    for stage in ("load", "pretrain", "embed", "fit"):
        api.run_stage(run, stage)
    for rate, raises in ((0.02, False), (0.01, True)):
        run = api.change_settings(run, {"fit.lr": rate})
        kept, paid = (run.folder / "fit/model/model.safetensors").read_bytes(), steps_paid(run)
        if raises:
            with pytest.raises(PrivacyError, match="beyond its budget"):
                api.run_stage(run, "fit")
            assert (run.folder / "fit/model/model.safetensors").read_bytes() == kept and steps_paid(run) == paid
        else:
            api.run_stage(run, "fit")


def test_two_servers_of_noise_are_two(said, tmp_path: Path):
    run = begun(said, tmp_path / "run")
    api.run_stage(run, "load")
    bench = Bench(run, OWN_CODE)
    one, other = (private.noise(bench, "the same release") for _ in range(2))
    assert isinstance(one, Secure) and one.mark != other.mark
    assert json.loads((run.folder / "load" / "manifest.json").read_text("utf-8"))["rows"]["train"]
