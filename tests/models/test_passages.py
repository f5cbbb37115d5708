"""A text that does not fit is read as a passage of whole sentences that does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from dilm.models.passages import encoded_within, passage
from dilm.numerics.words import split_sentences

SEPARATOR = -1
words = st.text("abcd", min_size=1, max_size=5)


@st.composite
def sentences(draw: DrawFn) -> str:
    return " ".join(draw(st.lists(words, min_size=1, max_size=6))) + draw(st.sampled_from([".", "!", "?"]))


documents = st.lists(sentences(), min_size=1, max_size=12).map(" ".join)


def letters(texts: object) -> list[list[int]]:
    """A token for each letter: what is told of tokens can be read back."""
    return [list(text.encode()) for text in texts]  # type: ignore[attr-defined]


@given(documents, st.integers(1, 60))
def test_no_text_is_longer_than_its_room_and_one_that_fits_stays_as_it_is(text: str, room: int) -> None:
    body = encoded_within([text], room, SEPARATOR, letters)
    assert 0 < len(body) <= room
    if len(text) <= room:
        assert bytes(body).decode() == text


@given(documents, st.integers(30, 80))
def test_a_passage_is_made_of_whole_sentences_that_stand_together(text: str, room: int) -> None:
    every, found = split_sentences(text), split_sentences(passage(text, room, letters))
    if max(map(len, every)) < room:
        assert any(every[place : place + len(found)] == found for place in range(len(every)))


@given(documents, st.integers(30, 80))
def test_no_further_sentence_would_fit_after_a_passage_that_is_not_the_end(text: str, room: int) -> None:
    found = passage(text, room, letters, anywhere=False)
    rest = split_sentences(text)[len(split_sentences(found)) :]
    if found.endswith((".", "!", "?")) and rest:
        assert len(f"{found} {rest[0]}") + 1 > room


def test_documents_show_their_beginnings_their_middles_and_their_ends() -> None:
    texts = [" ".join(f"Text {number} says {word}." for word in "abcdefgh") for number in range(200)]
    found = [passage(text, 40, letters) for text in texts]
    begun = [text.split(".")[0].split()[-1] for text in found]
    assert {"a", "d", "f"} <= set(begun)
    assert any(text.endswith("h.") for text in found)
    assert found == [passage(text, 40, letters) for text in texts]  # the same each time


def test_a_sentence_that_is_too_long_gives_its_first_words_and_a_word_its_first_letters() -> None:
    assert passage("one two three four five", 12, letters) == "one two"
    assert bytes(encoded_within(["x" * 50], 12, SEPARATOR, letters)) == b"x" * 12


@given(st.lists(documents, min_size=2, max_size=3), st.integers(20, 90))
def test_fields_keep_their_beginnings_and_the_short_ones_all(texts: list[str], room: int) -> None:
    body = encoded_within(texts, room, SEPARATOR, letters)
    assert len(body) <= room and body.count(SEPARATOR) == len(texts) - 1
    fields, field = [], []
    for token in [*body, SEPARATOR]:
        fields, field = ([*fields, bytes(field).decode()], []) if token == SEPARATOR else (fields, [*field, token])
    assert all(text.startswith(field) for text, field in zip(texts, fields, strict=True))
    share = (room - len(texts) + 1) // len(texts)
    assert all(text == field for text, field in zip(texts, fields, strict=True) if len(text) <= share)
    if sum(map(len, texts)) + len(texts) - 1 <= room:
        assert fields == texts


def test_white_space_alone_is_cut_like_a_word() -> None:
    assert len(encoded_within(["\n" * 40], 8, SEPARATOR, letters)) == 8
