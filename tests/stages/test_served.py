"""A served learner through the evaluate stage: sets are read, nothing is asked twice, a budget loses no work."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from loopback import Completion, Server, serving
from tiny_runs import rows_of, scores_of
from typer.testing import CliRunner

from dilm import api, pipeline
from dilm.build import Bench
from dilm.cli import app
from dilm.evaluation.in_context import run_prompt_trial
from dilm.journal import OWN_CODE
from dilm.runs import Run
from dilm.stages.evaluate import plan, scored_rows
from dilm.stages.jobs import Job
from dilm.stages.select import real_sets, synthetic_sets

METHODS, SETS, ORDERS = ("dilm", "random", "untuned"), 2, 2
TRIALS = len(METHODS) * SETS * ORDERS


def nearest(prompt: str, *_: int) -> Completion:
    """The label of the demonstration that shares most words with the query, the last of several: it reads, and order
    matters to it."""
    *shown, asked = [entry.rpartition("\n")[::2] for entry in prompt.split("\n\n")]
    words = set(asked[0].split()[1:])
    best = max(reversed(shown), key=lambda entry: len(words & set(entry[0].split()[1:])))
    return f" {best[1].removeprefix('label: ')}\nand so on", []


class Nearest:
    """The same in this process, as a Scorer."""

    name, context = "nearest", 10_000

    def tokens(self, text: str) -> int:
        return len(text.split())

    def score(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        said = [nearest(prompt)[0].partition("\n")[0] for prompt in prompts]
        return np.array([[0.0 if word == each else -np.inf for word in candidates] for each in said])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "cache"))
    with serving(nearest) as server:
        yield server


@pytest.fixture
def asking(copied: Path, server: Server) -> Run:
    """A finished run whose evaluation will ask the server."""
    asked = {"evaluate.baselines": list(METHODS[1:]), "evaluate.learners": [f"served:{server.url}#tiny"]}
    run = api.change_settings(api.existing_run(copied), asked | {"prompt.orders": ORDERS, "prompt.top_logprobs": 0})
    api.run_stage(run, "select")
    return run


def evaluate(run: Run, *settings: str):
    words = [word for setting in settings for word in ("--set", setting)]
    return CliRunner().invoke(app, ["evaluate", str(run.folder), *words], catch_exceptions=False)


def planned(bench: Bench) -> list[Job]:
    return list(plan(bench, synthetic_sets(bench) | real_sets(bench), scored_rows(bench)))


def new_scores(run: Run, before: dict[str, float]) -> dict[str, float]:
    return {trial: value for trial, value in scores_of(run.folder).items() if trial not in before}


@pytest.mark.slow
def test_a_served_model_scores_every_set_in_every_order_and_is_asked_nothing_twice(
    asking: Run, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    before, bench = scores_of(asking.folder), Bench(asking, OWN_CODE)
    run = api.change_settings(asking, {"server.key_variable": "MY_KEY"})
    trials = api.run_stage(run, "evaluate")["trials"]
    counts = Counter((trial["learner"], trial["method"]) for trial in trials)
    assert counts == dict.fromkeys([("served:tiny", method) for method in METHODS], SETS * ORDERS)
    here = {job.trial.key: run_prompt_trial(job.trial, Nearest()).value for job in planned(bench)}  # type: ignore[arg-type]
    assert new_scores(run, before) == here and len(set(here.values())) > 1
    questions = [json.dumps(body, sort_keys=True) for _, _, body in server.asked]
    assert 0 < len(questions) == len(set(questions)) <= TRIALS * len(bench.splits.test)
    assert {headers["Authorization"] for _, headers, _ in server.asked} == {"Bearer sk-very-secret"}
    assert not any(b"sk-very-secret" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    api.report(run.folder)
    assert "served:tiny" in (run.folder / "results.md").read_text("utf-8")
    assert server.url not in (run.folder / "report.html").read_text("utf-8")

    api.run_stage(run, "evaluate")  # complete
    forget(run, tmp_path / "cache" / "trials")
    api.run_stage(api.change_settings(run, {"server.budget": 1}), "evaluate")  # from the answers that are kept
    assert new_scores(run, before) == here and len(server.asked) == len(questions)


def forget(run: Run, trials: Path) -> None:
    """As if nothing had been scored; what the server answered stays."""
    (run.folder / "scores.jsonl").unlink()
    shutil.rmtree(run.folder / "evaluate")
    shutil.rmtree(trials)


def test_a_spent_budget_is_told_and_the_next_evaluation_goes_on(asking: Run, server: Server):
    """With the same budget anew, or with a larger one."""
    before, run = scores_of(asking.folder), api.change_settings(asking, {"prompt.orders": 1})
    trials = len({job.trial.key for job in planned(Bench(run, OWN_CODE))})  # methods may have made the same set
    budget, done = trials * len(Bench(run, OWN_CODE).splits.test) // 3 + 5, {}
    for spent in (1, 2):
        answer = evaluate(asking, "prompt.orders=1", f"server.budget={budget}")
        assert answer.exit_code == 2 and len(server.asked) == spent * budget
        assert f"budget of {budget} requests" in answer.stderr and "`server.budget`" in answer.stderr
        assert done.items() < (done := new_scores(asking, before)).items() and len(done) < trials
        assert pipeline.states(api.existing_run(asking.folder))["evaluate"] == "partly done"
    answer = evaluate(asking, f"server.budget={10 * budget}")
    assert answer.exit_code == 0, answer.stderr
    after = new_scores(asking, before)
    assert done.items() <= after.items() and len(after) == trials
    questions = [json.dumps(body, sort_keys=True) for _, _, body in server.asked]
    assert len(questions) == len(set(questions))


def test_a_server_that_fails_holds_up_no_other_learner(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "cache"))
    learners = "evaluate.learners=served:http://127.0.0.1:9/v1#tiny,tfidf"
    before, run = rows_of(copied), api.existing_run(copied)
    answer = evaluate(run, learners, "server.tries=1")
    assert answer.exit_code == 2 and "gave no answer in 1 tries" in answer.stderr
    assert {row["learner"] for row in rows_of(copied)[len(before) :]} == {"tfidf"}


def test_what_changes_prompts_undoes_an_evaluation_and_how_a_server_is_asked_does_not(copied: Path):
    def key(**settings: object) -> str:
        said = {name.replace("__", "."): value for name, value in settings.items()}
        return pipeline.keys(api.change_settings(api.existing_run(copied), said).recipe)["evaluate"]

    trained = key()
    assert trained == key(prompt__orders=5, prompt__context=999) == key(prompt__orders=3, server__budget=5)
    served = key(evaluate__learners=["same", "served:http://127.0.0.1:9/v1#tiny"], prompt__context=4096)
    assert served == key(server__budget=7, server__timeout=3, server__tries=1, server__key_variable="MY_KEY")
    others = [key(prompt__orders=4), key(prompt__context=999), key(prompt__top_logprobs=0)]
    assert len({served, *others}) == 4
    read = key(evaluate__learners=["prompt:gpt2"])
    assert read == key(prompt__context=4096, prompt__top_logprobs=5) != key(prompt__orders=1)
