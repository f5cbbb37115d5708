"""Who answers requests: a chat model in this process, or a server; each answer depends on its own request alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from loopback import Server, hangs_up, says, serving
from test_instructed import chatty
from tiny_models import rough, tiny_tokenizer

from dilm.errors import ModelError, ResourceError
from dilm.models.assistants import LocalAssistant, ServedAssistant
from dilm.models.connection import BudgetError, Manners
from dilm.models.decoders import open_causal_model
from dilm.models.endpoint import Endpoint
from dilm.models.instructed import prompts_of
from dilm.models.scratch import save
from dilm.runtime.device import Place
from dilm.types import Draft

REQUESTS = ["a warm heart", "so slow", "the plot goes nowhere"]
QUICK = Manners(wait=0.01, timeout=5)


@pytest.fixture(scope="module")
def assistant(tiny_folder: Callable[[str], str], place: Place, tmp_path_factory) -> LocalAssistant:
    folder = tmp_path_factory.mktemp("chat")
    model = rough(open_causal_model(tiny_folder("llama")))
    model.config.max_position_embeddings = 400
    save(model, chatty("llama"), folder)
    return LocalAssistant.open(str(folder), place)


def test_answers_depend_on_seed_and_request_alone(assistant: LocalAssistant):
    first = assistant.answer(REQUESTS, 12, 1.0, 3)
    assert assistant.answer(REQUESTS[::-1], 12, 1.0, 3) == first[::-1]
    assert [assistant.answer([request], 12, 1.0, 3)[0] for request in REQUESTS] == first
    assert assistant.answer(REQUESTS, 12, 1.0, 4) != first
    assert len({draft.texts for draft in first}) == 3


def test_the_greedy_limit_is_what_transformers_writes(assistant: LocalAssistant):
    prompts = prompts_of(assistant.tokenizer, REQUESTS)
    for prompt, draft in zip(prompts.before, assistant.answer(REQUESTS, 20, 0.0, 0), strict=True):
        read = torch.tensor([prompt])
        special = [[token] for token in assistant.tokenizer.all_special_ids if token != prompts.end]
        how = {"do_sample": False, "max_new_tokens": 21, "bad_words_ids": special, "pad_token_id": 0}
        told = assistant.model.generate(read, attention_mask=torch.ones_like(read), eos_token_id=prompts.end, **how)
        own = told[0, len(prompt) :].tolist()
        assert draft == Draft((assistant.tokenizer.decode(own, skip_special_tokens=True),), own[-1] == prompts.end)


def test_what_the_model_cannot_hold_is_told(assistant: LocalAssistant):
    with pytest.raises(ModelError, match=r"holds 400.*rewrite\.model"):
        assistant.answer(REQUESTS, 400, 1.0, 0)


def test_a_model_without_chat_template_is_told(tiny_folder: Callable[[str], str], place: Place, tmp_path: Path):
    save(open_causal_model(tiny_folder("llama")), tiny_tokenizer("llama"), tmp_path)
    with pytest.raises(ModelError, match=r"no chat template.*rewrite\.model"):
        LocalAssistant.open(str(tmp_path), place)
    with pytest.raises((ModelError, ResourceError), match="nowhere/at-all"):
        LocalAssistant.open("nowhere/at-all", place)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("DILM_API_KEY", raising=False)
    with serving(lambda prompt, *_: (prompt[::-1], [])) as server:
        yield server


@pytest.mark.parametrize("route", ["chat", "completions"])
def test_a_server_is_asked_each_request_once(server: Server, tmp_path: Path, route: str):
    for _ in range(2):
        served = ServedAssistant(Endpoint(server.url, "m", route), tmp_path / "kept", QUICK)
        told = served.answer([*REQUESTS, REQUESTS[0]], 9, 0.5, 3)
        assert told == [Draft((request[::-1],), True) for request in (*REQUESTS, REQUESTS[0])]
    assert len(server.asked) == 3
    bodies = [body for _, _, body in server.asked]
    assert {(body["model"], body["max_tokens"], body["temperature"]) for body in bodies} == {("m", 9, 0.5)}
    assert len({body["seed"] for body in bodies}) == 3, "one for each request"
    served.answer(REQUESTS, 9, 0.5, 4)
    assert len(server.asked) == 6, "another seed is another question"


def test_what_a_server_cut_off_is_unfinished_from_the_cache_too(server: Server, tmp_path: Path):
    cut = b'{"choices": [{"message": {"content": "text: a wa"}, "finish_reason": "length"}]}'
    server.faults.append(says(200, cut))
    for _ in range(2):
        served = ServedAssistant(Endpoint(server.url, "m", "chat"), tmp_path / "kept", QUICK)
        assert served.answer(["say"], 9, 0.5, 3) == [Draft(("text: a wa",), False)]
    assert len(server.asked) == 1


def test_after_a_failure_what_was_answered_is_kept(server: Server, tmp_path: Path):
    alone = Manners(wait=0.01, timeout=5, parallel=1, tries=1)
    served = ServedAssistant(Endpoint(server.url, "m", "chat"), tmp_path / "kept", alone)
    served.answer(REQUESTS[:1], 9, 0.5, 3)
    server.faults.append(hangs_up)
    with pytest.raises(ResourceError, match="gave no answer in 1 tries"):
        served.answer(REQUESTS[:2], 9, 0.5, 3)
    few = ServedAssistant(Endpoint(server.url, "m", "chat"), tmp_path / "kept", Manners(budget=1, parallel=1))
    with pytest.raises(BudgetError, match=r"server\.budget"):
        few.answer(REQUESTS, 9, 0.5, 3)
    assert few.answer(REQUESTS[:2], 9, 0.5, 3)[1].texts == (REQUESTS[1][::-1],)
