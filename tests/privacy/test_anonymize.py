"""The laws of anonymization: what is found is gone everywhere, once and for all, and nothing else is touched."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from panels import MAIL, NUMBER, SALT, panel

from dilm.privacy import stand_ins as stand_ins_module
from dilm.privacy.anonymize import anonymize, anonymize_datasets, clean
from dilm.privacy.stand_ins import OPERATORS, TELLING_APART, StandIns
from dilm.privacy.survey import NOT_DP, Survey
from dilm.types import Dataset, Example, Span, Task

ANYWHERE = {"MAIL": MAIL, "NUMBER": NUMBER}
SECRETS = ("anna@example.org", "Anna@Example.org", "b.anna@example.org", "5550199", "55501990", "4111111111")
WORDS = (
    "the",
    "plot",
    "<MAIL>",
    "<",
    ">",
    "*",
    "**",
    "@",
    ".",
    "é",
    "e\u0301",
    "🙂",
    "\n",
    "\r\n",
    "\u2028",
    "ß",
    "İ",
    "a1",
)
PIECES = st.sampled_from((*SECRETS, *WORDS, "Zebedee", "zebedee's", "info@our-firm.com", "xinfo@our-firm.com"))
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from(("", " ", "-"))), max_size=8).map(
    lambda parts: "".join(piece + between for piece, between in parts)
)
PARTS = {"patterns": ANYWHERE, "deny": {"CRITIC": ["Zebedee"]}, "allow": ["info@our-firm.com", "12345678"]}


def silent(steps: int) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module", params=list(OPERATORS))
def operator(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def judges(operator: str, tmp_path_factory):
    return panel(tmp_path_factory.mktemp("rules"), operator, **PARTS)


def cleaned(texts: list[str], judges, operator: str) -> list[str]:
    return clean(texts, judges, StandIns(operator, SALT), silent)[0]


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5))
def test_afterwards_nothing_is_found_and_a_second_time_changes_nothing(texts: list[str], judges, operator: str):
    new = cleaned(texts, judges, operator)
    assert judges.find(new) == [[] for _ in new]
    assert cleaned(new, judges, operator) == new


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5))
def test_no_secret_that_was_found_in_one_text_is_left_in_another(texts: list[str], judges, operator: str):
    said = zip(texts, judges.find(texts), strict=True)
    found = {text[span.start : span.end] for text, spans in said for span in spans}
    left = "\n".join(cleaned(texts, judges, operator)).replace("info@our-firm.com", "")
    assert not [secret for secret in found if re.search(r"[\d@]", secret) and secret in left]
    assert not re.search(r"(?<!\w)zebedee(?!\w)", left, re.IGNORECASE)


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5))
def test_what_is_not_found_stays_letter_by_letter(texts: list[str], judges, operator: str):
    for text, new, spans in zip(texts, cleaned(texts, judges, operator), judges.find(texts), strict=True):
        if text == new:
            assert not spans
        if not spans and not any(secret in text for secret in (*SECRETS, "ebedee", "our-firm")):
            assert new == text


@given(secrets=st.lists(st.from_regex(re.compile(MAIL, re.ASCII), fullmatch=True), min_size=2, max_size=2, unique=True))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("telling", TELLING_APART)
def test_equal_secrets_have_one_stand_in_and_different_ones_two(tmp_path_factory, telling: str, secrets: list[str]):
    one, other = secrets
    assume(one.casefold() != other.casefold() and one not in other and other not in one)
    judges = panel(tmp_path_factory.mktemp("rules"), telling)
    texts = [f"{one} and\n{other}", f"it was {other}, {one}", other.upper()]
    first, second, third = cleaned(texts, judges, telling)
    (a, b), (c, d) = first.split(" and\n"), second.removeprefix("it was ").split(", ")
    assert (a, b) == (d, c) and a != b
    assert third == b
    assert cleaned(texts, judges, telling) == [first, second, third]


@pytest.mark.parametrize("telling", TELLING_APART)
def test_another_salt_gives_other_stand_ins(tmp_path, telling: str):
    judges = panel(tmp_path, telling)
    made = {clean(["anna@example.org"], judges, StandIns(telling, salt), silent)[0][0] for salt in (b"a", b"b")}
    assert len(made) == 2 and not any(re.search(r"\d|anna|example", text) for text in made)


@pytest.mark.parametrize("telling", TELLING_APART)
def test_two_secrets_that_meet_in_a_digest_are_still_told_apart(monkeypatch, telling: str):
    real = stand_ins_module.hmac.digest
    monkeypatch.setattr(stand_ins_module.hmac, "digest", lambda *_: real(*_)[:1] * 32)
    made = StandIns(telling, SALT)
    found = [made.of("NUMBER", str(number)) for number in range(60)]
    assert len(set(found)) == 60
    assert [made.of("NUMBER", str(number)) for number in range(60)] == found


def test_a_secret_that_is_part_of_another_leaves_no_rest(tmp_path):
    judges = panel(tmp_path, "replace")
    texts = ["anna@example.org", "b.anna@example.org wrote", "mailto:anna@example.org!", "id5550199x", "5550199"]
    assert cleaned(texts, judges, "replace") == ["<MAIL>", "<MAIL> wrote", "mailto:<MAIL>!", "id<NUMBER>x", "<NUMBER>"]


def test_a_name_is_replaced_where_a_detector_overlooked_it_but_not_inside_other_words(tmp_path):
    class Forgetful:
        """Knows a name only where it is greeted."""

        title, kinds = "forgetful", ("PERSON",)

        def find(self, texts):
            return [[Span(*found.span(1), "PERSON") for found in re.finditer(r"Dear (\w+)", text)] for text in texts]

    judges = panel(tmp_path)
    judges = type(judges)((Forgetful(), *judges.detectors), re.compile("<PERSON>|<MAIL>|<NUMBER>"))
    texts = ["Dear Martin,", "Martin's view", "a dry Martini, Martin?", "martin"]
    expected = ["Dear <PERSON>,", "<PERSON>'s view", "a dry Martini, <PERSON>?", "martin"]
    assert cleaned(texts, judges, "replace") == expected


def test_overlapping_findings_are_one_of_the_surest_kind(tmp_path):
    class Halves:
        """A part of an address, and less sure."""

        title, kinds = "halves", ("URL",)

        def find(self, texts):
            return [[Span(*found.span(), "URL", 0.5) for found in re.finditer(r"\w+\.org/?\w*", t)] for t in texts]

    judges = panel(tmp_path)
    judges = type(judges)((Halves(), *judges.detectors), re.compile("<URL>|<MAIL>|<NUMBER>"))
    texts = ["anna@example.org/home", "example.org"]
    assert cleaned(texts, judges, "replace") == ["<MAIL>", "<URL>"]


def test_what_is_allowed_wins_and_what_is_denied_is_always_found(tmp_path):
    judges = panel(tmp_path, **PARTS)
    allowed = ["info@our-firm.com", "ask INFO@our-firm.com now", "12345678"]
    assert cleaned(allowed, judges, "replace") == allowed
    assert cleaned(["xinfo@our-firm.com", "Zebedee, ZEBEDEE\nzebedee"], judges, "replace") == [
        "<MAIL>",
        "<CRITIC>, <CRITIC>\n<CRITIC>",
    ]


def test_a_mask_keeps_lines_and_length(tmp_path):
    judges = panel(tmp_path, "mask", deny=["two words"])
    assert cleaned(["say two\nwords."], judges, "mask") == ["say ***\n*****."]


PAIRS = Task("pairs", ("first", "second"), ("no", "yes"))


def pairs(*rows: tuple[str, str]) -> Dataset:
    return Dataset(PAIRS, [Example(texts, at % 2) for at, texts in enumerate(rows)])


def test_pairs_and_splits_share_their_stand_ins_and_keep_rows_and_labels(tmp_path):
    parts = {
        "train": pairs(("anna@example.org", "fine"), ("fine", "ask anna@example.org, 5550199")),
        "test": pairs(("5550199", "5550199\n5550199")),
    }
    new, survey = anonymize_datasets(parts, panel(tmp_path, "hash"), StandIns("hash", SALT), silent)
    assert {name: data.labels for name, data in new.items()} == {name: data.labels for name, data in parts.items()}
    mail, number = new["train"][0].texts[0], new["test"][0].texts[0]
    assert new["train"][1].texts == ("fine", f"ask {mail}, {number}")
    assert new["test"][0].texts == (number, f"{number}\n{number}")
    assert survey.kinds == {"NUMBER": 4, "MAIL": 2}
    assert survey.touched == {"train": 2, "test": 1} and survey.rows == {"train": 2, "test": 1}
    places = {(place.split, place.row, place.field, place.kind): place.count for place in survey.places}
    assert places == {
        ("train", 1, "first", "MAIL"): 1,
        ("train", 2, "second", "MAIL"): 1,
        ("train", 2, "second", "NUMBER"): 1,
        ("test", 1, "first", "NUMBER"): 1,
        ("test", 1, "second", "NUMBER"): 2,
    }


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
def test_the_survey_counts_and_never_quotes(texts: list[str], judges, operator: str):
    cells = {("train", row, "text"): text for row, text in enumerate(texts, start=1)}
    new, survey = anonymize(cells, judges, StandIns(operator, SALT), silent)
    told = json.dumps(survey.plain(), ensure_ascii=False)
    assert not [secret for secret in (*SECRETS, "ebedee", "our-firm") if secret in told]
    assert {place.row for place in survey.places} == {where[1] for where, text in cells.items() if text != new[where]}
    assert Survey.from_plain(json.loads(told)) == survey
    assert NOT_DP in told and "not differential privacy" in NOT_DP
