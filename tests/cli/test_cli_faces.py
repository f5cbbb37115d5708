"""The command line without training: help, versions, recipes, and errors that a user can mend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

import dilm
from dilm import api
from dilm.cli import app
from dilm.recipe import Recipe, book

SOURCE_VERBS = ("distill", "load", "plan")
STAGE_VERBS = ("pretrain", "embed", "fit", "match", "generate", "select", "audit", "evaluate", "report")


def ask(*words: str):
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    "verb",
    [
        *(*SOURCE_VERBS, *STAGE_VERBS, "compare", "benchmark", "recipes", "show", "doctor"),
        *("anonymize", "verify", "export", "open", "quota", "federate"),
    ],
)
def test_every_verb_explains_itself(verb: str):
    answer = ask(verb, "--help")
    assert answer.exit_code == 0
    assert "Usage" in answer.stdout


@pytest.mark.parametrize("side", ["serve", "join"])
def test_both_sides_of_a_federation_explain_themselves(side: str):
    answer = ask("federate", side, "--help")
    assert answer.exit_code == 0 and "--address" in answer.stdout


@pytest.mark.parametrize("verb", SOURCE_VERBS)
def test_verbs_on_a_source_share_their_options(verb: str):
    shown = ask(verb, "--help").stdout
    for option in (
        "--text",
        "--label",
        "--per-class",
        "--generator",
        "--learner",
        "--recipe",
        "--set",
        "--seed",
        "--device",
    ):
        assert option in shown


def test_every_stage_of_the_road_is_a_verb():
    assert set(api.STAGES) == {"load", *STAGE_VERBS}


def test_version():
    assert ask("--version").stdout == f"dilm {dilm.__version__}\n"


def test_recipes_are_listed():
    assert list(json.loads(ask("recipes", "--json").stdout)) == book.names()
    assert all(name in ask("recipes").stdout for name in book.names())


@pytest.mark.parametrize("name", book.names())
def test_show_prints_a_recipe_that_is_read_back(name: str, tmp_path):
    path = tmp_path / "shown.yaml"
    path.write_text(ask("show", name).stdout, encoding="utf-8")
    assert book.read(path) == book.read(name)
    assert yaml.safe_load(path.read_text("utf-8"))["per_class"] > 0


def test_doctor_answers_offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    answer = ask("doctor", "--json")
    facts = json.loads(answer.stdout)
    assert answer.exit_code == 0
    assert facts["dilm"] == dilm.__version__
    assert "offline" in facts["hub"]
    assert {"device", "threads", "precision", "hub cache", "DILM_DATA", "free disk", "memory"} <= set(facts)


def test_arguments_become_a_recipe(monkeypatch):
    seen: list[Recipe] = []
    monkeypatch.setattr(api, "plan", lambda recipe, out: seen.append(recipe) or [])
    words = "plan a.csv --text q1,q2 --text q3 --label y --per-class 5 --generator g --learner l --seed 3 --device cpu"
    answer = ask(*words.split(), "--set", "fit.steps=7", "--set", "match.temperature=0.5", "--drop-empty", "--json")
    assert answer.exit_code == 0, answer.stderr
    (recipe,) = seen
    assert (recipe.data.source, recipe.data.text, recipe.data.label) == ("a.csv", ("q1", "q2", "q3"), "y")
    assert (recipe.per_class, recipe.models.generator, recipe.models.learner, recipe.seed) == (5, "g", "l", 3)
    assert (recipe.runtime.device, recipe.fit.steps, recipe.match.temperature) == ("cpu", 7, 0.5)
    assert recipe.data.drop_empty


def test_own_sets_reach_the_evaluation(monkeypatch, tmp_path):
    asked: dict[str, object] = {}
    monkeypatch.setattr(api, "existing_run", lambda folder: folder)
    monkeypatch.setattr(api, "run_stage", lambda run, name, **options: asked.update({name: options}) or {"trials": 3})
    answer = ask("evaluate", str(tmp_path), "--also", "mine=a=b.jsonl", "--json")
    assert json.loads(answer.stdout) == {"trials": 3}
    assert asked == {"evaluate": {"also": {"mine": "a=b.jsonl"}}}


MISTAKES = [
    (("show", "nosuch"), "There is no recipe 'nosuch'"),
    (("distill", "toy", "--recipe", "toi"), "Did you mean `toy`"),
    (("distill", "toy", "--set", "fit.stps=1"), "Did you mean `fit.steps`"),
    (("distill", "toy", "--set", "fit.steps"), "--set expects NAME=VALUE"),
    (("plan", "toy", "--set", "fit.steps=some"), "should be a whole number"),
    (("load", "toy", "--per-class", "0"), "per_class should be at least 1"),
    (("fit", "no-such-folder"), "is not a run folder"),
    (("compare", "no-such-folder"), "is not a run folder"),
    (("benchmark", "--suite", "smal"), "Did you mean `small`"),
    (("benchmark", "--suite", "toy", "--set", "fit.stps=1"), "Did you mean `fit.steps`"),
    (("evaluate", "no-such-folder", "--also", "x"), "--also expects NAME=VALUE"),
    (("verify", "no-such-folder"), "there is nothing to compare it with"),
    (("export", "no-such-folder", "--to", "no-such-file"), "is no distilled set"),
    (("open", "no-such-file", "--to", "no-such-folder"), "is no file"),
    (("quota", "no-such-folder"), "is not a run folder"),
    (("federate", "serve", "toy", "--clients", "2"), "should be 3 to 64"),
    (("federate", "serve", "toy", "--clients", "3", "--recipe", "toy"), "With federation.clients every touch"),
    (("federate", "serve", "toy", "--clients", "3", "--noise", "loud"), "does not know 'loud'"),
    (("federate", "join", "no-such-file", "--address", "nowhere"), "is no address"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES)
def test_a_mistake_is_one_paragraph_and_exit_2(words: tuple[str, ...], said: str):
    answer = ask(*words)
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("Error: ") and said in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(("words", "said"), MISTAKES[1:])
def test_a_mistake_is_one_json_object_when_asked(words: tuple[str, ...], said: str):
    answer = ask(*words, "--json")
    told = json.loads(answer.stdout)
    assert answer.exit_code == 2
    assert set(told) == {"error", "remedy"}
    assert said in f"{told['error']} {told['remedy']}"


def test_an_option_that_does_not_exist_is_exit_2():
    assert ask("distill", "toy", "--nosuch").exit_code == 2


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(folder):
        raise ZeroDivisionError

    monkeypatch.setattr(api, "existing_run", broken)
    answer = ask("fit", "anything")
    assert answer.exit_code == 1
    assert isinstance(answer.exception, ZeroDivisionError)


def test_an_interruption_says_how_to_go_on(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "open_run", interrupted)
    monkeypatch.setattr(sys, "argv", ["dilm", "distill", "my data.csv"])
    answer = ask("distill", "my data.csv")
    assert answer.exit_code == 130
    assert "dilm distill 'my data.csv' --resume" in answer.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_real_interrupt_ends_the_process_with_130():
    code = (
        "import os, signal\nfrom dilm import api, cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which a job in the background ignores
        "api.open_run = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "import sys; sys.argv = ['dilm', 'distill', 'toy']\ncli.main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 128 + signal.SIGINT
    assert "dilm distill toy --resume" in ended.stderr and "Traceback" not in ended.stderr


def test_python_m_dilm_is_dilm():
    answer = subprocess.run([sys.executable, "-m", "dilm", "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout == f"dilm {dilm.__version__}\n"
