"""Keys: equal content, equal key; any change of content, another key."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dilm.runtime.hashing import canonical, folder_key, key

LEAVES = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.booleans(), st.none())
VALUES = st.recursive(LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)))


@settings(max_examples=50, deadline=None)
@given(value=st.dictionaries(st.text(max_size=3), VALUES, max_size=5))
def test_the_order_of_names_does_not_count(value: dict):
    assert key(value) == key(dict(reversed(value.items())))


@settings(max_examples=50, deadline=None)
@given(one=VALUES, other=VALUES)
def test_different_json_has_different_keys(one: object, other: object):
    assert (key(one) == key(other)) == (canonical(one) == canonical(other))


def test_a_key_is_what_it_was():
    """Stage keys stand in manifests: a run made today must be found complete tomorrow."""
    assert key({"b": [1, 2.5, None], "a": "ü"}) == "91ff63a7ddb19a1b9c7a2e722d40ba9baba03223f291c89743abfd71bb743cb5"


def test_names_and_kinds_of_values_count():
    values = [{"a": 1}, {"b": 1}, {"a": "1"}, {"a": True}, {"a": None}, ["a", 1], {}]
    assert len({key(value) for value in values}) == len(values)


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_is_known_by_names_and_bytes_not_by_place_or_time(tmp_path: Path):
    files = {"config.json": b"{}", "deep/weights": bytes(3_000_000)}
    first = folder_key(fill(tmp_path / "one", files))
    assert folder_key(fill(tmp_path / "two", dict(reversed(files.items())))) == first
    assert folder_key(fill(tmp_path / "three", files | {"deep/weights": bytes(2_999_999) + b"1"})) != first
    assert folder_key(fill(tmp_path / "four", {"config.json": b"{}", "weights": bytes(3_000_000)})) != first
