"""Rewriting on a finished run: what is asked, what joins the pool, what is told, and that nothing is asked twice."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Completion, Server, serving
from text_runs import SAID
from text_runs import SHORT as TEXT
from tiny_runs import SETTINGS
from transformers import AutoTokenizer
from typer.testing import CliRunner

from dilm import api, pipeline
from dilm.build import Bench
from dilm.cli import app
from dilm.distilled import Distilled
from dilm.errors import RecipeError
from dilm.journal import OWN_CODE
from dilm.privacy.pii import Panel
from dilm.privacy.rules import Rules
from dilm.recipe import Recipe
from dilm.recipe.book import override
from dilm.recipe.rules import check
from dilm.runs import Run
from dilm.stages import rewriting
from dilm.stages.generate import pool

PLAIN = {"select.method": "random", "evaluate.baselines": ["untuned", "untuned_random"]}
QUICK = {"evaluate.learners": ["tfidf"], "evaluate.seeds": 1}
CHAT = (
    "{% for m in messages %}{{ bos_token + m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ bos_token }}{% endif %}"
)


def longer(prompt: str, *_: int) -> Completion:
    """The shown texts in one, field by field, with more behind them; some are refused, by their length."""
    fields: dict[str, list[str]] = {}
    for name, text in re.findall(r"^(\w+): (.+)$", prompt, re.MULTILINE):
        fields.setdefault(name, []).extend([text] if text != "..." else [])
    said = [f"{name}: {' and '.join(texts)} again" for name, texts in fields.items()]
    return ("I cannot." if len(said[0]) % 4 == 0 else "\n".join(["Sure:", *said])), []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "cache"))
    with serving(longer) as server:
        yield server


def asking(folder: Path, model: str, **settings: object) -> Run:
    said = {"rewrite.model": model, "rewrite.texts": 4, "rewrite.best": "random"} | PLAIN
    return api.change_settings(api.existing_run(folder), said | {k.replace("__", "."): v for k, v in settings.items()})


def sets(folder: Path) -> dict[str, str]:
    """What the stage wrote, but for its manifest, which knows seconds."""
    found = {file.name: file.read_text("utf-8") for file in sorted((folder / "select").glob("*.json*"))}
    return {name: text for name, text in found.items() if not name.endswith("manifest.json")}


def shown(server: Server) -> list[str]:
    return [body["messages"][-1]["content"] for _, _, body in server.asked]


def test_rewritten_texts_join_the_pool_and_are_told(copied: Path, server: Server):
    run = asking(copied, f"served-chat:{server.url}#tiny", rewrite__ask="both", **QUICK)
    facts = api.run_stage(run, "select")
    told = facts["rewritten"]
    assert told["model"] == "tiny" and set(told["verdicts"]) == {"dilm", "untuned"}
    assert all(sum(each.values()) == 2 * (4 + 4) for several in told["verdicts"].values() for each in several)
    assert {"kept", "malformed"} <= set(told["verdicts"]["dilm"][0])
    bench = Bench(run, OWN_CODE)
    texts = {row.texts[0] for row in pool(bench, "dilm", 0)}
    chosen = [json.loads(line)["review"] for line in sets(copied)["dilm-0.jsonl"].splitlines()]
    assert told["chosen"]["dilm"][0] == [at for at, text in enumerate(chosen) if text not in texts] != []
    assert all(text.endswith(" again") for text in chosen if text not in texts)
    assert told["chosen"]["untuned_random"] == [[], []], "random texts of the generator stay what they are"
    api.run_stage(run, "evaluate")
    api.report(copied)
    product, page = Distilled.load(copied / "distilled"), (copied / "report.html").read_text("utf-8")
    assert list(product.provenance.rewritten) == told["chosen"]["dilm"][0]
    said = f"{len(product.provenance.rewritten)} of 6 texts were rewritten or merged by an instruction-tuned model"
    assert said in product.card and said in page
    assert "tiny was asked to rewrite or merge texts of the first pool 16 times" in page
    assert server.url not in page and server.url not in (copied / "distilled" / "provenance.json").read_text("utf-8")


def test_nothing_is_asked_twice(copied: Path, server: Server, tmp_path: Path):
    """After a failure the cache knows what was answered; after a kill the run folder does, without the cache."""
    run = asking(copied, f"served-chat:{server.url}#tiny", server__parallel=1)
    server.faults.extend([lambda handler: handler.answer(200, b'{"choices": [{"message": {"content": "no"}}]}')] * 2)
    server.faults.append(lambda handler: handler.answer(400))
    answer = CliRunner().invoke(app, ["select", str(copied)])
    assert answer.exit_code == 2 and "refused with HTTP 400" in answer.stderr
    assert pipeline.states(run)["select"] == "partly done"
    assert len(server.asked) == 3, "none after the refused one"
    api.run_stage(run, "select")
    questions = [json.dumps(body, sort_keys=True) for _, _, body in server.asked]
    assert len(questions) == len(set(questions)) + 1, "the refused one was sent again, no other"
    first = sets(copied)
    (copied / "select" / "manifest.json").unlink()
    shutil.rmtree(tmp_path / "cache")
    api.run_stage(run, "select")
    assert sets(copied) == first and len(server.asked) == len(questions), "from the run folder"


def test_another_choice_takes_answers_from_the_cache(copied: Path, server: Server):
    api.run_stage(asking(copied, f"served-chat:{server.url}#tiny"), "select")
    count, before = len(server.asked), (copied / "select" / "rewritten-dilm-0.jsonl").read_text("utf-8")
    api.run_stage(asking(copied, f"served-chat:{server.url}#tiny", select__method="herding"), "select")
    assert len(server.asked) == count
    assert (copied / "select" / "rewritten-dilm-0.jsonl").read_text("utf-8") == before


def test_real_rows_are_shown_to_nobody(copied: Path, server: Server):
    run = asking(copied, f"served-chat:{server.url}#tiny", select__pool="both", rewrite__ask="merge")
    facts = api.run_stage(run, "select")
    train = {row.texts[0] for row in Bench(run, OWN_CODE).splits.train}
    assert not any(text in request for request in shown(server) for text in train) and server.asked
    real, new = facts["real"]["dilm"][0], facts["rewritten"]["chosen"]["dilm"][0]
    chosen = [json.loads(line)["review"] for line in sets(copied)["dilm-0.jsonl"].splitlines()]
    assert real == [at for at, text in enumerate(chosen) if text in train] and set(real).isdisjoint(new)


def test_what_a_detector_finds_in_an_answer_does_not_stay(copied: Path, server: Server):
    """The panel of a run with --anonymize, on a run that needs no other stage."""
    bench = Bench(asking(copied, f"served-chat:{server.url}#tiny"), OWN_CODE)
    rules = Rules({"AGAIN": re.compile("again")})
    bench.__dict__["panel"] = Panel((rules,), re.compile("<AGAIN>"))
    verdicts = pipeline.run_stage(bench, "select")["rewritten"]["verdicts"]["dilm"]
    assert all("kept" not in each and each["flagged"] for each in verdicts)
    assert not any("again" in content for content in sets(copied).values())


def test_a_model_of_this_machine_rewrites_the_same_again(copied: Path, tmp_path: Path):
    """The fitted generator with a chat template: what it says has no form, so that nothing joins the pool."""
    chat = shutil.copytree(copied / "fit" / "model", tmp_path / "chat")
    tokenizer = AutoTokenizer.from_pretrained(chat)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(chat)
    run = asking(copied, str(chat), rewrite__rewriting="{text}", rewrite__texts=2)
    facts = api.run_stage(run, "select")
    assert facts["rewritten"]["model"] == "chat" and sum(facts["rewritten"]["verdicts"]["dilm"][0].values()) == 4
    first = sets(copied)
    shutil.rmtree(copied / "select")
    api.run_stage(run, "select")
    assert sets(copied)["rewritten-dilm-0.json"] == first["rewritten-dilm-0.json"]
    assert sets(copied)["dilm-0.jsonl"] == first["dilm-0.jsonl"]


@pytest.mark.slow
def test_where_the_target_is_text_an_answer_has_it_too(answers: Path, server: Server, tmp_path: Path):
    asked = {"rewrite.model": f"served-chat:{server.url}#tiny", "rewrite.texts": 2, "select.sets": 1}
    made = api.distill(answers, out=tmp_path / "run", settings=SETTINGS | TEXT | asked, **SAID)
    told = api.existing_run(tmp_path / "run").stage("select").manifest["rewritten"]
    assert told["verdicts"]["dilm"][0].get("kept", 0) > 0
    new = [row["say"] for at, row in enumerate(made.rows()) if at in made.provenance.rewritten]
    assert all(text.endswith(" again") for text in new)


@pytest.mark.parametrize(
    ("model", "told"),
    [("nobody/has-this", "nobody/has-this"), ("served-chat:http://127.0.0.1:9/v1#tiny", "gave no answer in 1 tries")],
)
def test_who_is_not_there_is_told(copied: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str, told: str):
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "cache"))
    asking(copied, model, server__tries=1)
    answer = CliRunner().invoke(app, ["select", str(copied)])
    assert answer.exit_code == 2 and told in answer.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rewrite.model": "served:localhost#m"}, "rewrite.model does not know"),
        ({"rewrite.model": "http://localhost/v1"}, "rewrite.model does not know"),
        ({"rewrite.model": "scratch:tiny"}, "rewrite.model does not know"),
        ({"rewrite.ask": "improve"}, "rewrite.ask does not know"),
        ({"rewrite.best": "raced"}, "rewrite.best does not know"),
        ({"rewrite.rewriting": "make it good"}, "does not show what it is about"),
        ({"rewrite.merging": "merge {text}"}, "does not show what it is about"),
        ({"rewrite.texts": 0}, "at least 1"),
        ({"rewrite.temperature": -1.0}, "0 or more"),
        ({"rewrite.model": "m", "rewrite.ask": "merge", "rewrite.texts": 501}, "take 1002 texts"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], told: str):
    with pytest.raises(RecipeError, match=told):
        check(override(Recipe(), settings))


def test_keys_of_runs_without_it_stay_and_with_it_only_the_choice_is_new(tmp_path: Path):
    plain = pipeline.keys(Recipe())
    assert pipeline.keys(override(Recipe(), {"rewrite.texts": 3, "rewrite.ask": "both"})) == plain
    assert rewriting.content(Recipe()) == []
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    found = [plain]
    for said in (
        {"rewrite.model": "org/m"},
        {"rewrite.model": "org/m", "rewrite.texts": 3},
        {"rewrite.model": str(tmp_path)},
    ):
        found.append(pipeline.keys(override(Recipe(), said)))
    (tmp_path / "config.json").write_text("{ }", encoding="utf-8")
    found.append(pipeline.keys(override(Recipe(), {"rewrite.model": str(tmp_path)})))
    assert len({keys["select"] for keys in found}) == 5 and len({keys["generate"] for keys in found}) == 1
