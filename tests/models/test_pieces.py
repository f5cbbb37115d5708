"""Laws of what runs together."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dilm.models.pieces import pieces

LENGTHS = st.lists(st.integers(1, 200), max_size=80)


LIMITS = st.tuples(st.integers(1, 600), st.integers(1, 4))
"""Tokens, and how many times as many with padding."""


@given(LENGTHS, LIMITS)
def test_every_text_runs_once_beside_others_of_like_length(lengths: list[int], limits: tuple[int, int]):
    found = [position for piece in pieces(lengths, *limits) for position in piece]
    assert sorted(found) == list(range(len(lengths)))
    assert [lengths[position] for position in found] == sorted(lengths, reverse=True)


@given(LENGTHS, LIMITS)
def test_a_piece_keeps_to_the_limits_unless_it_is_one_text(lengths: list[int], limits: tuple[int, int]):
    for piece in pieces(lengths, *limits):
        assert len(piece) == 1 or fits([lengths[position] for position in piece], *limits)


@given(LENGTHS, LIMITS)
def test_no_piece_could_have_taken_the_next_text(lengths: list[int], limits: tuple[int, int]):
    found = list(pieces(lengths, *limits))
    for piece, following in pairwise(found):
        assert not fits([lengths[position] for position in (*piece, following[0])], *limits)


def fits(lengths: list[int], tokens: int, spread: int) -> bool:
    return sum(lengths) <= tokens and len(lengths) * max(lengths) <= spread * tokens
