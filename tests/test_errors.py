"""An error says what it said, also when it comes from another process."""

from __future__ import annotations

import pickle

import pytest

from dilm import errors


@pytest.mark.parametrize("kind", [errors.DilmError, *errors.DilmError.__subclasses__()])
def test_an_error_survives_the_way_between_processes(kind: type[errors.DilmError]):
    again = pickle.loads(pickle.dumps(kind("It is so.", "Do this.")))
    assert type(again) is kind and (again.problem, again.remedy, str(again)) == (
        "It is so.",
        "Do this.",
        "It is so. Do this.",
    )
