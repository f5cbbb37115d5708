"""Answers that can be checked: sums are what Python makes of them, and every slot that is said is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilm.numerics.answers import consistent, final_number, realised, same_number, wrong_steps

TERMS = st.recursive(
    st.integers(1, 99).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: "(" + "".join(parts) + ")"),
    max_leaves=5,
)


@given(TERMS)
def test_calculations_are_checked_as_python_does_them(sum_: str):
    try:
        result = eval(sum_)
    except ZeroDivisionError:
        return
    assert wrong_steps(f"<<{sum_}={result:.6f}>>") == 0
    assert wrong_steps(f"<<{sum_}={result + 1 + abs(result):.6f}>>") == 1


@pytest.mark.parametrize(
    ("text", "number"), [("#### 42", 42), ("a #### $1,200.50 ", 1200.5), ("#### -3", -3), ("42", None), ("####", None)]
)
def test_the_final_number(text: str, number: float | None):
    assert final_number(text) == number
    assert same_number(text, text) == (number is not None)


def test_an_answer_is_consistent_where_it_ends_in_a_number_and_its_calculations_hold():
    assert consistent("48/2 = <<48/2=24>>24 #### 24")
    assert not consistent("48/2 = <<48/2=25>>25 #### 25")
    assert not consistent("48/2 = <<48/2=24>>24")


def test_slots_are_found_whatever_their_case_and_spaces():
    meaning = "name[The Vaults], priceRange[more than £ 30], familyFriendly[no]"
    assert realised(meaning, "the vaults , more than £30 , is not family - friendly .") == 1
    assert realised(meaning, "The Vaults is family friendly.") == pytest.approx(1 / 3)
