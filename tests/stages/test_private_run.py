"""The whole road under differential privacy: what it spends, what it says of that, and what a kill changes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from private_runs import EPSILON, write_data
from tiny_runs import products
from typer.testing import CliRunner

from dilm import api, planting, private, sealed
from dilm.build import Bench
from dilm.cli import app
from dilm.distilled import Distilled
from dilm.errors import PrivacyError
from dilm.journal import OWN_CODE
from dilm.privacy.figures import bounds
from dilm.stages.attacks import canary_scores


@pytest.fixture(scope="module", autouse=True)
def own_secret(own_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Noise follows from the user's secret; a test's must be the same at every run."""
    folder = tmp_path_factory.mktemp("secret")
    (folder / "secret").write_bytes(b"x" * 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DILM_CACHE", str(folder))
        yield


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_data(tmp_path_factory.mktemp("private"))


@pytest.fixture(scope="module")
def made(said: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Distilled:
    """Only to be read."""
    return api.distill(**said, out=tmp_path_factory.mktemp("private-runs") / "run")


@pytest.fixture
def copy(made: Distilled, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.run, tmp_path / "copy"))


def book(run: Path) -> dict[str, Any]:
    return json.loads((run / private.LEDGER).read_text("utf-8"))


def test_a_run_spends_its_budget_and_says_so_everywhere(made: Distilled):
    spend = made.provenance.spend
    assert 0.95 * EPSILON < spend["epsilon"] <= EPSILON == spend["budget"]
    rows = api.existing_run(made.run).stage("load").manifest["rows"]["train"]
    assert spend["delta"] == pytest.approx(rows**-1.2) and spend["delta"] < 1 / rows
    used = {each["what"].partition(" ")[0]: each for each in spend["mechanisms"]}
    assert used["fit"]["steps"] == 60 and used["fit"]["rate"] == pytest.approx(64 / rows)
    assert used["match"]["steps"] == 1 and used["match"]["rate"] == 1
    assert api.existing_run(made.run).stage("match").manifest["privacy"] == spend
    sentence = f"epsilon {spend['epsilon']:.2f} at delta"
    assert sentence in made.provenance.privacy and "public pre-training" in made.provenance.privacy
    assert "every score and measure" in made.provenance.privacy
    for file in ("report.html", "distilled/README.md", "distilled/provenance.json"):
        assert sentence in (made.run / file).read_text("utf-8", "replace"), file
    assert Distilled.load(made.run / "distilled").provenance.spend["epsilon"] == spend["epsilon"]


def test_no_loss_of_real_rows_is_written_down(made: Distilled):
    manifest = api.existing_run(made.run).stage("fit").manifest
    assert manifest["curve"] == [] and not {"dev_nll", "told_apart", "train_nll"} & set(manifest)
    assert api.existing_run(made.run).stage("match").manifest["dev_score"] is None


def test_what_is_done_again_bit_for_bit_costs_nothing_and_gives_the_same(made: Distilled, copy: Path):
    before = book(copy)
    shutil.rmtree(copy / "match")
    shutil.rmtree(copy / "fit")
    api.fit(copy)
    api.match(copy)
    assert book(copy) == before
    for stage in ("fit", "match"):
        name = f"{stage}/model/model.safetensors"
        assert (copy / name).read_bytes() == (made.run / name).read_bytes()


def test_other_settings_are_another_release_which_the_budget_does_not_hold(copy: Path):
    kept, spent_before = (copy / "fit/model/model.safetensors").read_bytes(), book(copy)
    answer = CliRunner().invoke(app, ["fit", str(copy), "--set", "fit.lr=0.02"], catch_exceptions=False)
    assert answer.exit_code == 2 and "beyond its budget" in answer.stderr
    assert (copy / "fit/model/model.safetensors").read_bytes() == kept and book(copy) == spent_before
    back = CliRunner().invoke(app, ["fit", str(copy), "--set", "fit.lr=0.01", "--json"], catch_exceptions=False)
    assert back.exit_code == 0 and json.loads(back.stdout)["stage"] == "fit" and book(copy) == spent_before


def test_noise_depends_on_the_secret_and_not_on_the_public_seed(
    made: Distilled, copy: Path, monkeypatch, tmp_path: Path
):
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "another-user"))
    bench = Bench(api.existing_run(copy), OWN_CODE)
    mechanism = private.mechanisms(bench)["fit"]
    mine = private.release(bench, "fit", "key", mechanism)
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "yet-another"))
    assert private.release(bench, "fit", "key", mechanism) != mine
    shutil.rmtree(copy / "fit")
    with pytest.raises(PrivacyError, match="beyond its budget"):  # other noise: told a second time
        api.fit(copy)


def test_delta_must_promise_something(copy: Path):
    run = api.change_settings(api.existing_run(copy), {"dp.delta": 0.01})
    with pytest.raises(PrivacyError, match=r"dp\.delta is 0\.01"):
        private.budget(Bench(run, OWN_CODE))


def test_plan_refuses_at_the_door(said: dict[str, Any]):
    answer = CliRunner().invoke(app, ["plan", "toy", "--recipe", "toy", "--epsilon", "8"], catch_exceptions=False)
    assert answer.exit_code == 2 and "match.teacher_sets=0" in answer.stderr


@pytest.mark.slow
def test_learners_may_grow_up_on_our_own_texts(said: dict[str, Any], tmp_path: Path):
    older = said["settings"] | {"dp.trajectory": "synthetic", "match.ages": 2, "evaluate.baselines": "random"}
    found = api.distill(**(said | {"settings": older}), out=tmp_path / "run")
    states = next(each for each in found.provenance.spend["mechanisms"] if each["what"].startswith("match"))
    assert states["steps"] == 2 and (tmp_path / "run/match/grown-on.jsonl").exists()
    assert found.provenance.spend["epsilon"] <= EPSILON


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_killed_private_run_continues_with_the_same_noise(made: Distilled, said: dict[str, Any], tmp_path: Path):
    """A real process, killed in the middle of fit: the ledger knows what it paid, and the result is the same."""
    out = tmp_path / "run"
    words = ["--out", str(out), "--per-class", "3", "--generator", "scratch:tiny", "--recipe", "private-toy"]
    settings = [word for name, value in said["settings"].items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "dilm", "distill", str(said["source"]), *words, "--epsilon", str(EPSILON)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, *settings], env=environment, start_new_session=True)
    while not (out / "fit" / "checkpoint.pt").exists():
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "fit" / "manifest.json").exists() and book(out)
    subprocess.run([*command, *settings, "--resume"], env=environment, check=True)
    assert products(out) == products(made.run)
    assert book(out) == book(made.run)


@pytest.mark.slow
def test_an_attack_finds_no_more_than_was_promised(said: dict[str, Any], tmp_path: Path):
    """Canaries among the rows: the lower bound of their attack is below the epsilon that the ledger tells."""
    rng, source = random.Random(1), tmp_path / "letters.jsonl"
    words = ["".join(rng.choices(string.ascii_lowercase, k=4)) for _ in range(300)]
    rows = [{"text": " ".join(rng.choices(words, k=5)), "label": at % 2} for at in range(400)]
    source.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    settings = said["settings"] | {"audit.canaries": 40, "fit.steps": 30, "match.steps": 0}
    wanted = said | {"source": source, "epsilon": 2.0, "settings": settings}
    run = api.open_run(api.recipe_for(**wanted), tmp_path / "run")
    for stage in ("load", "pretrain", "fit", "match"):
        api.run_stage(run, stage)
    bench = Bench(run, OWN_CODE)
    canaries, spend = planting.canaries(bench.recipe, bench.splits.train), private.spend(bench)
    found = bounds(canary_scores(bench, canaries), np.array(canaries.inside), spend["delta"])
    shown = next(each.value for each in found if each.name == "epsilon")
    assert 0 <= shown <= spend["epsilon"] <= 2.0


def test_a_ledger_that_somebody_wrote_in_is_found(made: Distilled, copy: Path):
    assert api.verify(made.run)["faults"] == []
    spent_less = book(copy)
    spent_less.popitem()
    (copy / private.LEDGER).write_text(json.dumps(spent_less), "utf-8")
    assert api.verify(copy)["faults"] == [{"path": private.LEDGER, "what": "changed"}]
    (copy / private.LEDGER).unlink()
    assert api.verify(copy)["faults"] == [{"path": private.LEDGER, "what": "missing"}]


def test_a_stage_that_was_stopped_may_have_spent(copy: Path):
    run = api.existing_run(copy)
    sealed.begin(run, "match", "another key")
    (copy / private.LEDGER).write_text(json.dumps(book(copy)), "utf-8")
    told = api.verify(copy)
    assert told["faults"] == [] and any(private.LEDGER in note for note in told["notes"])


def test_where_users_are_named_the_promise_is_for_a_user(said: dict[str, Any], tmp_path: Path):
    lines = Path(said["source"]).read_text("utf-8").splitlines()
    owned = [f"{lines[0]},who", *(f"{line},u{place // 2}" for place, line in enumerate(lines[1:]))]
    (tmp_path / "owned.csv").write_text("\n".join(owned), "utf-8")
    settings = said["settings"] | {"data.user": "who", "data.text": "text"}
    asked = {name: said[name] for name in ("per_class", "generator", "recipe", "epsilon")}
    run = api.open_run(api.recipe_for(tmp_path / "owned.csv", **asked, settings=settings), tmp_path / "run")
    api.run_stage(run, "load")
    assert sum(run.stage("load").manifest["rows"].values()) == 200
    told = private.spend(Bench(run, OWN_CODE))
    assert told["unit"].startswith("one user") and told["unit"] in private.statement(told)
