"""Presidio behind the panel: what its patterns find without any model, and what must not happen on the way."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import SALT

from dilm.errors import ModelError, RecipeError
from dilm.privacy import pii
from dilm.privacy.anonymize import clean
from dilm.privacy.pii import Panel, open_presidio
from dilm.privacy.stand_ins import OPERATORS, StandIns, form


@pytest.fixture(scope="module")
def presidio():
    pytest.importorskip("presidio_analyzer")
    return open_presidio(("en",), (), 0.4)


SECRETS = {
    "EMAIL_ADDRESS": ("anna.b@example.org", "a+b@mail.internal", "jürgen@müller.example.org"),
    "CREDIT_CARD": ("4111 1111 1111 1111", "5555555555554444"),
    "IBAN_CODE": ("DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"),
    "PHONE_NUMBER": ("+44 20 7946 0958",),
    "IP_ADDRESS": ("192.168.0.17",),
    "URL": ("https://example.org/anna",),
}


@pytest.mark.parametrize(("kind", "secret"), [(kind, secret) for kind, found in SECRETS.items() for secret in found])
def test_what_has_a_shape_is_found_without_a_model(presidio, kind: str, secret: str):
    text = f"Well,\n{secret} was mentioned."
    (found,) = presidio.find([text])
    assert kind in {span.kind for span in found if text[span.start : span.end] == secret}


def test_nothing_is_asked_of_the_network(presidio, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert presidio.find(["anna@example.org"])[0]
    assert open_presidio(("de",), (), 0.4).find(["anna@example.org, 4111 1111 1111 1111"])[0]


PIECES = [
    *(secret for found in SECRETS.values() for secret in found),
    "fine",
    "<",
    "*",
    "@",
    "\n",
    "é",
    "12",
    "+1",
    "-",
]


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map(" ".join), max_size=3))
@pytest.mark.parametrize("operator", list(OPERATORS))
def test_no_stand_in_is_taken_for_something_new(presidio, operator: str, texts: list[str]):
    judges = Panel((presidio,), form(operator, presidio.kinds))
    new, _ = clean(texts, judges, StandIns(operator, SALT), lambda steps: None)
    assert judges.find(new) == [[] for _ in new]
    assert clean(new, judges, StandIns(operator, SALT), lambda steps: None)[0] == new
    if all(texts):
        assert not [secret for found in SECRETS.values() for secret in found if secret in "\n".join(new)]


def test_kinds_and_threshold_narrow_what_is_found():
    pytest.importorskip("presidio_analyzer")
    text = "anna@example.org or +44 20 7946 0958"
    only = open_presidio(("en",), ("EMAIL_ADDRESS",), 0.4)
    assert only.kinds == ("EMAIL_ADDRESS",) and {span.kind for span in only.find([text])[0]} == {"EMAIL_ADDRESS"}
    sure = open_presidio(("en",), (), 0.9)
    assert "PHONE_NUMBER" not in {span.kind for span in sure.find([text])[0]}


def test_another_language_adds_its_patterns_to_the_english_ones():
    pytest.importorskip("presidio_analyzer")
    spanish = open_presidio(("es",), (), 0.4)
    assert {"ES_NIF", "CREDIT_CARD", "EMAIL_ADDRESS"} <= set(spanish.kinds)
    assert len(spanish.kinds) == len(set(spanish.kinds)) and "en, es" in spanish.title
    with pytest.raises(RecipeError, match="cannot read 'qq'"):
        open_presidio(("qq",), (), 0.4)


def test_without_presidio_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(ModelError) as told:
        open_presidio(("en",), (), 0.4)
    assert "pip install 'dilm[privacy]'" in told.value.remedy and pii.INSTALL in told.value.remedy
