"""A search: as many trials as wanted whatever happens, scored on dev rows alone, with stages shared between trials."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import SETTINGS
from two_nodes import two_nodes

from dilm import api, journal, pipeline, runs
from dilm.errors import ModelError, PrivacyError, RecipeError, ResourceError, RunError
from dilm.recipe import Recipe, book
from dilm.reports.searched import Searched
from dilm.searching import spaces, studies, trying, tuning

QUICK = SETTINGS | {
    "per_class": 2,
    "data.train_rows": 60,
    "data.dev_rows": 40,
    "data.test_rows": 20,
    "race.rows": 300,  # more than there are: without races nothing is kept for them
    "models.generator": "scratch:tiny",
    "models.max_tokens": 16,
    "pretrain.steps": 2,
    "fit.steps": 20,
    "fit.contrast": 0.0,
    "match.steps": 0,
    "generate.attempts": 200,
    "evaluate.seeds": 1,
    "evaluate.steps": 2,
    "data.text": "review",
    "data.label": "stars",
}
SPACE: dict[str, Any] = {
    "select.method": {"choices": ["typical", "random"]},
    "select.long": {"low": 0.3, "high": 1.0},
}


@pytest.fixture(scope="module", autouse=True)
def own_rows(source: Path) -> Iterator[None]:
    """All searches are on the reviews of this folder's tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(QUICK, "data.source", str(source))
        yield


def searched(out: Path, trials: int, space: Any = SPACE, **more: Any) -> Searched:
    settings = QUICK | more.pop("settings", {})
    return api.search("toy", space, trials=trials, out=out, settings=settings, **more)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Searched]:
    """A search of four trials. Only to be read."""
    out = tmp_path_factory.mktemp("search") / "four"
    return out, searched(out, 4)


def values(found: Searched) -> dict[int, tuple[Any, ...]]:
    return {t.number: (t.state, t.value, t.error, dict(t.settings)) for t in found.trials}


def test_as_many_trials_as_wanted_each_scored_on_every_set_with_its_error(four: tuple[Path, Searched]):
    out, found = four
    assert [(t.number, t.state) for t in found.trials] == [(n, "complete") for n in range(4)]
    assert all(t.error is not None and t.learners and t.seconds for t in found.trials)
    assert found.best and found.best.value == max(t.value or 0 for t in found.trials)
    assert {t.settings["select.method"] for t in found.trials} <= set(SPACE["select.method"]["choices"])
    record = json.loads((out / tuning.RECORD).read_text("utf-8"))
    assert record["best"] == found.best.number and len(record["trials"]) == 4
    assert (out / tuning.PAGE).exists() and (out / tuning.TABLE).exists()


def test_no_trial_reads_a_test_row(four: tuple[Path, Searched]):
    """The base run counts them once, as `load` does; nobody else is handed one."""
    out, _ = four
    seen = {}
    for folder in (out / trying.BASE, *(out / trying.TRIALS).iterdir()):
        rows = journal.entries(folder).rows
        read = {(row["who"], split) for row in rows if row["act"] == journal.READ for split in row["splits"]}
        seen[folder.name] = {who for who, split in read if split == "test"}
        assert not (folder / "evaluate").exists() and not (folder / "audit").exists()
        assert api.verify(folder)["faults"] == []
    assert seen == {trying.BASE: {"load"}, **{f"{n:04d}": set() for n in range(4)}}


def test_what_no_setting_changes_is_made_once(four: tuple[Path, Searched]):
    out, found = four
    assert set(found.trials[0].shared) == {"load", "pretrain"}
    assert all({"load", "pretrain", "fit", "match", "generate"} <= set(trial.shared) for trial in found.trials[1:])
    weights = [next((folder / "fit" / "model").glob("*.safetensors")) for folder in (out / trying.TRIALS).iterdir()]
    assert len({file.stat().st_ino for file in weights}) == 1, "one copy on the disk"


def test_the_best_recipe_is_the_searched_one_with_the_best_settings(four: tuple[Path, Searched], tmp_path: Path):
    out, found = four
    best = book.read(out / tuning.BEST)
    assert found.best
    base = book.override(book.read("toy"), QUICK)
    assert best == book.override(base, found.best.settings)
    assert best.evaluate.baselines == base.evaluate.baselines != ()
    assert api.recipe_for(best.data.source, recipe=str(out / tuning.BEST)) == best
    run = runs.create(tmp_path / "run", best, resume=False)
    trial = api.existing_run(out / trying.TRIALS / f"{found.best.number:04d}")
    assert pipeline.keys(best)["match"] == pipeline.keys(trial.recipe)["match"]
    assert api.run_stage(run, "load")["rows"] == trial.stage("load").manifest["rows"]


def test_a_search_that_has_enough_trials_does_nothing(four: tuple[Path, Searched]):
    out, found = four
    assert values(searched(out, 3)) == values(found)


@pytest.mark.slow
def test_machines_share_a_study_by_its_database(four: tuple[Path, Searched], tmp_path: Path):
    """Draws and scores of a trial depend on its number and on those before it, not on who works on it."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    searched(tmp_path / "here", 2, storage=url)
    found = searched(tmp_path / "there", 4, storage=url)
    assert values(found) == values(four[1])
    folders = [sorted(f.name for f in (tmp_path / side / trying.TRIALS).iterdir()) for side in ("here", "there")]
    assert folders == [["0000", "0001"], ["0002", "0003"]]


def failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], BaseException | None]) -> None:
    """`run_trial` that fails at its n-th call as told."""
    calls, real = iter(range(1000)), tuning.run_trial

    def run_trial(*given: Any) -> float:
        if fault := fails(next(calls)):
            raise fault
        return real(*given)

    monkeypatch.setattr(tuning, "run_trial", run_trial)


def test_a_failed_trial_is_marked_and_tried_once_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    fault = ResourceError("Too little memory.", "Buy some.")
    failing(monkeypatch, lambda call: fault if call == 1 else None)
    found = searched(tmp_path / "out", 2)
    assert [t.state for t in found.trials] == ["complete", "fail", "complete"]
    assert found.trials[1].note == "Too little memory." and found.trials[2].note == "try 2"
    assert found.trials[2].settings == found.trials[1].settings


def test_what_always_fails_ends_the_search_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    failing(monkeypatch, lambda call: ModelError("No such model.", "Name another."))
    with pytest.raises(ModelError, match="No such model"):
        searched(tmp_path / "out", 30)
    table = (tmp_path / "out" / tuning.TABLE).read_text("utf-8")
    assert "No such model" in table and "failed" in table


@pytest.mark.slow
def test_an_interrupted_trial_goes_on_in_its_own_folder(
    monkeypatch: pytest.MonkeyPatch, four: tuple[Path, Searched], tmp_path: Path
):
    real = pipeline.run_stage

    def interrupted(bench: Any, name: str, **options: Any) -> dict[str, Any]:
        if name == "generate" and bench.run.folder.name == "0001":
            raise KeyboardInterrupt
        return real(bench, name, **options)

    monkeypatch.setattr(pipeline, "run_stage", interrupted)
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "out", 2)
    monkeypatch.setattr(pipeline, "run_stage", real)
    found = searched(tmp_path / "out", 2)
    assert [t.state for t in found.trials] == ["complete", "fail", "complete"]
    assert found.trials[1].note == "interrupted"
    same = four[1].trials[1]
    assert (found.trials[2].settings, found.trials[2].value) == (same.settings, same.value)
    assert sorted(folder.name for folder in (tmp_path / "out" / trying.TRIALS).iterdir()) == ["0000", "0001"]


def test_a_trial_whose_process_is_gone_is_buried_and_queued(tmp_path: Path):
    from optuna.trial import TrialState

    study = studies.opened(tmp_path, "", "a study")
    with studies.working(tmp_path) as alive:
        for worker in (alive, "gone", "elsewhere"):
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            trial.set_user_attr(studies.WORKER, worker)
        (tmp_path / studies.WORKERS / "gone").touch()  # what a killed process leaves
        studies.bury(study, tmp_path)
        states = [trial.state for trial in study.trials]
        assert states == [TrialState.RUNNING, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
        assert studies.standing(study) == 2
        assert studies.standing(study, below=1) == 1
    queued = study.ask()
    assert queued.suggest_float("x", 0, 1) == study.trials[1].params["x"]
    assert queued.user_attrs[studies.FOLDER] == "0001" and queued.user_attrs[studies.TRIES] == 2


def test_a_poor_trial_is_stopped_early_among_its_own_kind(tmp_path: Path):
    from optuna import TrialPruned

    study = studies.opened(tmp_path, "", "a study")  # whose heartbeats nobody needs here

    def way(prune: float = 50) -> trying.Way:
        return trying.Way(study.ask(), prune)

    for _ in range(trying.ENOUGH):
        finished = way()
        for step, value in ((0, 0.9), (50, 0.9), (trying.SETS, 0.5)):
            finished.told(step, value)
        study.tell(finished.trial, 0.5)
    good, poor, late, patient = way(), way(), way(), way(prune=0)
    good.told(0, 0.91)
    good.told(trying.SETS, 0.5)
    with pytest.raises(TrialPruned):
        poor.told(0, 0.8)
    late.told(0, 0.95)
    with pytest.raises(TrialPruned):
        late.told(trying.SETS, 0.4)  # what it scored in `match` is no excuse
    patient.told(0, 0.0)


def test_matching_is_watched_and_pruned_at_its_checkpoints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    told: list[tuple[int, int]] = []
    real = trying.Way.told

    def spied(way: trying.Way, step: int, value: float) -> None:
        told.append((way.trial.number, step))
        if way.trial.number == 1 and step == 50:
            from optuna import TrialPruned

            raise TrialPruned
        real(way, step, value)

    monkeypatch.setattr(trying.Way, "told", spied)
    space = {"match.lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    found = searched(tmp_path / "out", 2, space, settings={"match.steps": 4, "match.ages": 1, "match.check_steps": 2})
    assert [t.state for t in found.trials] == ["complete", "pruned"]
    assert told == [(0, 0), (0, 50), (0, 100), (0, 101), (0, 102), (1, 0), (1, 50)]
    assert not (tmp_path / "out" / trying.TRIALS / "0001" / "generate").exists()


BASE = book.override(book.read("toy"), QUICK)


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ({"fit.step": {"low": 1, "high": 2}}, "Did you mean `fit.steps`"),
        ({"match": {"setps": {"low": 1, "high": 2}}}, "Did you mean `match.steps`"),
        ({"fit.lr": {"low": 1, "hihg": 2}}, "Did you mean `high`"),
        ({"fit.lr": {"low": 2, "high": 1}}, "low should be below high"),
        ({"fit.lr": {"low": 0, "high": 1, "log": True}}, "begins above 0"),
        ({"fit.lr": {"low": "fast", "high": 1}}, "low should be a number"),
        ({"fit.steps": {"low": 1.5, "high": 3}}, "whole numbers"),
        ({"fit.steps": {"low": 1, "high": 3, "step": 5}}, "step should be"),
        ({"fit.batch": {"low": 0, "high": 3}}, "fit.batch should be at least 1, found 0"),
        ({"select.method": {"choices": ["typical", "hering"]}}, "Did you mean `herding`"),
        ({"select.method": {"low": 1, "high": 2}}, "is no number"),
        ({"select.method": {"choices": ["typical"]}}, "two choices or more"),
        ({"fit.lr": 3}, "a range or choices"),
        ({"evaluate.seeds": {"low": 1, "high": 2}}, "cannot be searched"),
        ({"data.source": {"choices": ["toy", "sst2"]}}, "cannot be searched"),
        ({}, "should hold settings"),
    ],
)
def test_mistakes_in_a_space_are_told(space: Any, problem: str):
    with pytest.raises(RecipeError, match=problem):
        spaces.of(space, BASE)


def test_a_space_on_disk_may_nest_its_settings_and_write_numbers_as_yaml_mistakes_them(tmp_path: Path):
    file = tmp_path / "space.yaml"
    file.write_text(
        "match:\n  lr: {low: 1e-5, high: 1e-3, log: true}\nselect.filters: {choices: [[agree], [agree, 'words:3']]}\n"
    )
    found = spaces.read(file, BASE)
    lr, filters = found.dimensions
    assert (lr.name, lr.low, lr.high, lr.log) == ("match.lr", 1e-5, 1e-3, True)
    assert book.override(BASE, {filters.name: filters.choices[1]}).select.filters == ("agree", "words:3")
    assert spaces.of(found.plain, BASE) == found
    with pytest.raises(RecipeError, match="There is no space"):
        spaces.read(tmp_path / "none.yaml", BASE)


@pytest.mark.parametrize(
    ("settings", "options", "fault", "problem"),
    [
        ({"dp.epsilon": 3.0, "match.teacher_sets": 0, "pretrain.corpus": "toy"}, {}, PrivacyError, "dev scores"),
        ({"evaluate.learners": ("same", "prompt:gpt2")}, {}, RecipeError, "'prompt:gpt2' reads"),
        ({}, {"prune": 100}, RecipeError, "prune from 0"),
        ({}, {"storage": "nonsense://u:hunter2@h/x"}, ResourceError, "cannot be opened"),
    ],
)
def test_what_cannot_be_searched_is_told(
    settings: dict[str, Any], options: dict[str, Any], fault: type[Exception], problem: str, tmp_path: Path
):
    made = spaces.of(SPACE, BASE)
    recipe = book.override(BASE, settings) if "dp.epsilon" not in settings else private(settings)
    with pytest.raises(fault, match=problem) as told:
        tuning.search(tuning.Search(recipe, made, tmp_path / "out", 2, **options))
    assert "hunter2" not in str(told.value)


def private(settings: dict[str, Any]) -> Recipe:
    return book.override(book.read("private-toy"), settings)


def test_a_folder_holds_one_search(four: tuple[Path, Searched], tmp_path: Path):
    out, _ = four
    with pytest.raises(RunError, match=r"something else \(fit.steps"):
        searched(out, 5, settings={"fit.steps": 7})
    with pytest.raises(RunError, match="another space"):
        searched(out, 5, {"fit.lr": {"low": 1e-3, "high": 1e-2}})
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="something else than a search"):
        searched(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"], "nothing is left in it"


def test_who_comes_while_another_begins_the_same_search_waits(tmp_path: Path):
    out = tmp_path / "out"
    space = spaces.of(SPACE, BASE)
    wanted = tuning.Search(BASE, space, out, 1)
    out.mkdir()
    with ThreadPoolExecutor(1) as other:
        with studies.locked(out):
            runs.write_text(out / runs.RECIPE, book.to_yaml(wanted.recipe))
            second = other.submit(tuning.begin, wanted)
            time.sleep(0.2)
            assert not second.done()
            runs.write_text(out / tuning.SPACE, json.dumps(space.plain))
        second.result(timeout=20)


def test_combinations_that_no_recipe_can_have_are_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """match.check_every must be a multiple of match.refresh_every."""
    monkeypatch.setattr(tuning, "REFUSALS", 3)
    space = {"match.refresh_every": {"choices": [3, 5]}, "match.check_every": {"choices": [2, 4]}}
    with pytest.raises(RecipeError, match="draws from the space in a row contradict"):
        searched(tmp_path / "out", 2, space)
    assert "should be a multiple" in (tmp_path / "out" / tuning.TABLE).read_text("utf-8")


def command(out: Path, trials: int) -> list[str]:
    space = out.parent / "space.yaml"
    space.write_text(json.dumps(SPACE), encoding="utf-8")
    said = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]
    line = ["search", "toy", "--space", str(space), "--trials", str(trials), "--out", str(out), *said, "--json"]
    return [sys.executable, "-m", "dilm", *line]


def begin(out: Path, trials: int) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "DILM_PROGRESS": "none"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(out, trials), env=environment, start_new_session=True, **pipes)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_search_that_is_killed_ends_as_one_that_was_not(four: tuple[Path, Searched], tmp_path: Path):
    out = tmp_path / "out"
    process, deadline = begin(out, 4), time.monotonic() + 200
    while not (out / trying.TRIALS / "0001" / "generate").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = begin(out, 4)
    stdout, stderr = again.communicate(timeout=300)
    assert again.returncode == 0, stderr
    assert json.loads(stdout)["trials"] == "4 finished, 1 failed"
    record = json.loads((out / tuning.RECORD).read_text("utf-8"))["trials"]
    assert [(t["state"], t["note"]) for t in record[1:3]] == [("fail", "killed"), ("complete", "try 2")]
    first = four[1].trials[1]
    assert (record[2]["settings"], record[2]["value"]) == (first.settings, first.value)


@pytest.mark.slow
def test_processes_that_search_together_end_with_as_many_trials_as_wanted(tmp_path: Path):
    together = [begin(tmp_path / "out", 6) for _ in range(2)]
    told = [process.communicate(timeout=300) for process in together]
    assert [process.returncode for process in together] == [0, 0], told
    record = json.loads((tmp_path / "out" / tuning.RECORD).read_text("utf-8"))["trials"]
    assert len([t for t in record if t["state"] in ("complete", "pruned")]) == 6
    assert len({json.dumps(t["settings"]) for t in record if t["state"] == "complete"}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_several_trials_at_a_time_end_with_as_many_as_wanted(engine: str, tmp_path: Path):
    """As tasks of a cluster of two nodes, too: every trial is one worker's, and more than one worked."""
    out, cache = tmp_path / "out", tmp_path / "cache"
    with two_nodes(cache) if engine == "ray" else nullcontext("") as address:
        storage = f"sqlite:///{tmp_path / 'study.db'}" if address else ""
        asked = {"runtime.engine": engine, "runtime.cluster": address}
        found = searched(out, 6, settings=asked, storage=storage, workers=2, prune=0)
    assert [trial.state for trial in found.trials].count("complete") == 6 and found.best
    recipe = book.read(str(out / runs.RECIPE))
    study = studies.opened(out, storage, tuning.Search(recipe, spaces.of(SPACE, recipe), out, 6).name)
    assert len({trial.user_attrs[studies.WORKER] for trial in study.trials}) == 2
    assert recipe.runtime.engine == engine  # the recipe is the caller's, not that of a task
    assert json.loads((out / tuning.RECORD).read_text("utf-8"))["best"] == found.best.number


def test_tasks_that_could_not_share_a_study_are_refused(tmp_path: Path):
    asked = {"runtime.engine": "ray", "runtime.cluster": "10.0.0.1:6379"}
    with pytest.raises(RecipeError, match="may have machines that do not see the study"):
        searched(tmp_path / "out", 2, settings=asked, workers=2)
    with pytest.raises(RecipeError, match="workers should be at least 1"):
        searched(tmp_path / "out", 2, workers=0)
    assert not (tmp_path / "out").exists()
