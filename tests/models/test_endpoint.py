"""A served model as scorer: a real server on loopback with a tiny real model, and the faults that servers have."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import Server, greedy, hangs, hangs_up, says, serving
from tiny_talker import train_talker

from dilm.errors import ModelError, ResourceError
from dilm.models.connection import BudgetError, Connection, Manners, seconds_to_wait
from dilm.models.endpoint import Endpoint, EndpointScorer, Reply, _row, read_reply
from dilm.models.scorer import CausalScorer
from dilm.runtime.device import choose
from dilm.types import Dataset

KEY = "sk-very-secret-0123456789"
LABELS = [" bad", " good"]
QUICK = Manners(wait=0.01, timeout=5)

Opener = Callable[..., EndpointScorer]


@pytest.fixture(scope="module")
def talker(train: Dataset, tmp_path_factory: pytest.TempPathFactory) -> CausalScorer:
    return CausalScorer.open(train_talker(train, tmp_path_factory.mktemp("talker")), choose("cpu", "fp32"))


@pytest.fixture(scope="module")
def prompts(train: Dataset) -> list[str]:
    shown = f"text: {train[0].texts[0]}\nlabel: bad\n\n"
    return [f"{shown}text: {row.texts[0]}\nlabel:" for row in train.take([1, 5, 19, 23, 30])]


@pytest.fixture
def server(talker: CausalScorer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("DILM_API_KEY", raising=False)
    with serving(partial(greedy, talker)) as server:
        yield server


@pytest.fixture
def opened(server: Server, tmp_path: Path) -> Opener:
    def opener(manners: Manners = QUICK, **settings: Any) -> EndpointScorer:
        return EndpointScorer(Endpoint(server.url, "talker", **settings), tmp_path / "kept" / "answers", manners)

    return opener


@pytest.mark.parametrize("route", ["completions", "chat"])
def test_likeliest_first_tokens_are_the_scores(opened: Opener, talker: CausalScorer, prompts: list[str], route: str):
    scorer = opened(route=route, top=20)
    local = talker.score(prompts, LABELS)
    assert len(set(local.argmax(1))) == 2
    np.testing.assert_allclose(scorer.score(prompts, LABELS), local, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("route", ["completions", "chat"])
def test_words_are_read_where_likelihoods_are_missing(
    opened: Opener, talker: CausalScorer, prompts: list[str], route: str
):
    best = talker.score(prompts, LABELS).argmax(1)
    expected = np.where(np.arange(2) == best[:, None], 0.0, -math.inf)
    assert np.array_equal(opened(route=route, top=0).score(prompts, LABELS), expected)
    beside = opened(route=route).score(prompts, [" Bad", "GOOD", "so very good"])  # the third is no likely token
    assert np.array_equal(beside[:, :2], expected) and np.all(beside[:, 2] == -math.inf)


def test_what_cannot_be_read_is_counted_and_not_guessed(opened: Opener, prompts: list[str]):
    scorer = opened()
    assert np.isnan(scorer.score(prompts, ["excellent", "go"])).all()
    assert scorer.unreadable == len(prompts)
    scorer.score(prompts, LABELS)
    assert scorer.unreadable == len(prompts)


@pytest.mark.parametrize(
    ("text", "candidates", "said"),
    [
        (" Not Duplicate.", ["not duplicate", "duplicate", "not"], 0),
        ("not", ["not duplicate", "not"], 1),
        ("nothing", ["no", "yes"], None),
        ("10", ["1", "10"], 1),
        ("1.", ["1", "10"], 0),
        ('\n"**yes**"', ["no", "yes"], 1),
        ("(none) at all", ["(none)", "none"], 0),
        ("正面的", ["负面", "正面"], 1),
        ("I think yes", ["no", "yes"], None),
        ("", ["no", "yes"], None),
    ],
)
def test_the_longest_candidate_that_an_answer_begins_with(text: str, candidates: list[str], said: int | None):
    row = np.array(_row(Reply(text, {}), candidates))
    assert np.isnan(row).all() if said is None else np.flatnonzero(row == 0).tolist() == [said]


def test_first_tokens_count_only_when_each_candidate_has_one_of_its_own():
    top = {" no": -1.0, "No": -2.0, "▁yes": -3.0, " not": -4.0, "": -5.0}
    assert _row(Reply("?", top), ["no", "yes"]) == pytest.approx([np.logaddexp(-1, -2), -3])
    assert _row(Reply("?", top), ["not so", "yes"]) == [-4, -3]
    for candidates in (["no", "maybe"], ["not so", "not"]):
        assert np.isnan(_row(Reply("?", top), candidates)).all()


@pytest.mark.parametrize("candidates", [["no", " No"], ["no", " "]])
def test_candidates_must_be_told_apart(opened: Opener, candidates: list[str]):
    with pytest.raises(ModelError, match="told apart"):
        opened().score(["a"], candidates)


def test_a_request_is_greedy_and_short(opened: Opener, server: Server, prompts: list[str]):
    opened().score(prompts[:1], LABELS)
    opened(route="chat", top=0).score(prompts[:1], LABELS)
    (_, _, plain), (_, _, chat) = server.asked
    assert plain == {"model": "talker", "temperature": 0, "max_tokens": 6, "prompt": prompts[0], "logprobs": 5}
    assert "bad, good" in chat["messages"][0]["content"] and "logprobs" not in chat


def test_a_busy_server_is_waited_for_as_long_as_it_asks(opened: Opener, server: Server, prompts: list[str]):
    server.faults = [says(429, Retry_After="0.3"), hangs_up, says(503)]
    scorer, begin = opened(), time.monotonic()
    assert np.isfinite(scorer.score(prompts[:1], LABELS)).all()
    assert time.monotonic() - begin > 0.3 and scorer.service.connection.sent == len(server.asked) == 4


def test_waits_grow(opened: Opener, server: Server, prompts: list[str]):
    server.faults, begin = [says(500)] * 3, time.monotonic()
    opened(Manners(wait=0.05)).score(prompts[:1], LABELS)
    assert time.monotonic() - begin > 0.05 + 0.1 + 0.2


def test_a_server_that_stays_broken_or_silent_is_given_up(opened: Opener, server: Server, prompts: list[str]):
    server.faults = [says(500)] * 3 + [hangs] * 2
    with pytest.raises(ResourceError, match="no answer in 3 tries: HTTP 500"):
        opened(Manners(tries=3, wait=0.01)).score(prompts[:1], LABELS)
    with pytest.raises(ResourceError, match=r"2 tries: .*timed out"):
        opened(Manners(tries=2, wait=0.01, timeout=0.2)).score(prompts[:1], LABELS)
    assert len(server.asked) == 5


def test_a_wait_beyond_patience_and_an_address_where_nobody_is(opened: Opener, server: Server, prompts: list[str]):
    server.faults = [says(429, Retry_After="3600")]
    with pytest.raises(ResourceError, match="3600 seconds"):
        opened().score(prompts[:1], LABELS)
    with pytest.raises(ResourceError, match="2 tries"):
        Connection("http://127.0.0.1:9/v1", Manners(tries=2, wait=0.01)).post({})


@pytest.mark.parametrize("payload", [b"<html>hello</html>", b"[]", b'{"choices": []}', b'{"choices": [{"text": 3}]}'])
def test_an_answer_that_is_none_is_told_at_once_and_not_kept(
    opened: Opener, server: Server, prompts: list[str], payload: bytes
):
    server.faults = [says(200, payload)]
    with pytest.raises(ModelError, match=r"something else than JSON|is no completion"):
        opened().score(prompts[:1], LABELS)
    assert np.isfinite(opened().score(prompts[:1], LABELS)).all()
    assert len(server.asked) == 2


def test_an_empty_completion_is_one():
    assert read_reply({"choices": [{"message": {"content": None}, "logprobs": None}]}, "") == Reply("", {})


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "DILM_API_KEY"), (404, "/v1"), (400, "context"), (302, "address")]
)
def test_a_refusal_is_not_repeated_and_never_shows_the_key(
    opened: Opener, server: Server, prompts: list[str], monkeypatch, status: int, remedy: str
):
    monkeypatch.setenv("DILM_API_KEY", KEY)
    elsewhere = f"{server.url}/elsewhere"  # following it would hand the key to whoever is named
    server.faults = [says(status, f"wrong key {KEY}".encode(), Location=elsewhere)]
    with pytest.raises(ModelError, match=f"HTTP {status}: wrong key") as told:
        opened().score(prompts[:1], LABELS)
    assert remedy in told.value.remedy and KEY not in str(told.value) and len(server.asked) == 1


def test_nothing_is_asked_twice(opened: Opener, server: Server, prompts: list[str]):
    first = opened().score([*prompts, *prompts[::-1]], LABELS)
    assert len(server.asked) == len(prompts) and np.array_equal(first, first[::-1])
    server.faults = [says(500)] * 99
    again = opened()
    assert np.array_equal(again.score(prompts, LABELS), first[: len(prompts)]) and again.service.connection.sent == 0


def test_another_question_is_asked(opened: Opener, server: Server, prompts: list[str]):
    for settings in ({}, {"top": 0}, {"route": "chat"}):
        opened(**settings).score(prompts[:1], LABELS)
    opened().score(prompts[:1], [" bad", " good", " long enough for more tokens"])
    assert len(server.asked) == 4


def test_a_spent_budget_stops_and_keeps_what_was_answered(opened: Opener, server: Server, prompts: list[str]):
    server.faults = [says(500)]
    with pytest.raises(BudgetError, match="budget of 3 requests"):
        opened(Manners(wait=0.01, budget=3)).score(prompts, LABELS)
    assert len(server.asked) == 3  # one of them in vain
    rest = opened(Manners(budget=3))
    assert np.isfinite(rest.score(prompts, LABELS)).all()
    assert rest.service.connection.sent == 3 and len(server.asked) == 6


def test_the_key_comes_from_the_environment_and_stays_there(
    opened: Opener, server: Server, prompts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened().score(prompts[:1], LABELS)
    monkeypatch.setenv("MY_KEY", f"{KEY}\n")
    opened(Manners(key_variable="MY_KEY")).score(prompts[1:2], LABELS)
    without, with_key = (headers.get("Authorization") for _, headers, _ in server.asked)
    assert without is None and with_key == f"Bearer {KEY}"
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"good" in written and KEY.encode() not in written
    assert prompts[0].splitlines()[0].encode() not in written  # nor do the rows that were asked about


def test_a_key_that_no_header_can_carry_is_not_printed(opened: Opener, prompts: list[str], monkeypatch):
    monkeypatch.setenv("DILM_API_KEY", f"{KEY}\nHost: else")
    with pytest.raises(ModelError, match="DILM_API_KEY") as told:
        opened().score(prompts[:1], LABELS)
    assert KEY not in str(told.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:8000/v1", "http://"])
def test_an_address_must_be_one(url: str, tmp_path: Path):
    with pytest.raises(ModelError, match="no address"):
        EndpointScorer(Endpoint(url, "talker"), tmp_path / "answers")
    with pytest.raises(ModelError, match="Use completions or chat"):
        EndpointScorer(Endpoint("http://localhost/v1", "talker", route="talk"), tmp_path / "answers")


def test_a_file_that_keeps_something_else_is_refused(tmp_path: Path):
    (tmp_path / "answers").write_text("not a table, and long enough to be taken for the beginning of one" * 20)
    with pytest.raises(ResourceError, match="Remove it"):
        EndpointScorer(Endpoint("http://localhost/v1", "talker"), tmp_path / "answers")


def test_retry_after_is_seconds_or_a_date():
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=timezone.utc)
    assert seconds_to_wait("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30
    assert seconds_to_wait("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0
    for said, seconds in {"2.5": 2.5, "": None, "soon": None, "nan": None, "-1": None}.items():
        assert seconds_to_wait(said, now) == seconds


def test_tokens_are_rather_too_many(opened: Opener, talker: CausalScorer, prompts: list[str]):
    scorer = opened(context=1000)
    assert scorer.context < 1000 and scorer.name == "talker" and scorer.tokens("") == 0
    assert all(scorer.tokens(prompt) >= talker.tokens(prompt) for prompt in prompts)
