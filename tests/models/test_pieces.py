"""Laws of what runs together."""

from hypothesis import given
from hypothesis import strategies as st

from dilm.models.pieces import pieces

LENGTHS = st.lists(st.integers(1, 200), max_size=80)


@given(LENGTHS, st.integers(1, 600))
def test_every_text_runs_once_beside_others_of_like_length(lengths: list[int], tokens: int):
    found = [position for piece in pieces(lengths, tokens) for position in piece]
    assert sorted(found) == list(range(len(lengths)))
    assert [lengths[position] for position in found] == sorted(lengths, reverse=True)


@given(LENGTHS, st.integers(1, 600))
def test_a_piece_keeps_to_the_limit_unless_it_is_one_text(lengths: list[int], tokens: int):
    for piece in pieces(lengths, tokens):
        assert len(piece) == 1 or len(piece) * lengths[piece[0]] <= tokens


@given(LENGTHS, st.integers(1, 600))
def test_no_piece_could_have_taken_the_next_text(lengths: list[int], tokens: int):
    found = list(pieces(lengths, tokens))
    for piece in found[:-1]:
        assert (len(piece) + 1) * lengths[piece[0]] > tokens
