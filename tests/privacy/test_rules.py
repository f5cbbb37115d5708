"""Rules of the user's own: what they find, and what is wrong with them, told without a word of theirs."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import panel, rules_file

from dilm.errors import RecipeError
from dilm.privacy.rules import DENIED, any_of, read_rules

NAMES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(words=st.lists(NAMES, min_size=1, max_size=4), before=st.sampled_from(("", "a ", "(", "é-", "\n")))
def test_a_denied_word_is_always_found_whole(tmp_path_factory, words: list[str], before: str):
    found = panel(tmp_path_factory.mktemp("rules"), deny=[" ".join(words)])
    for form in ("NFC", "NFD"):
        word = unicodedata.normalize(form, "\n ".join(words))
        ((span,),) = found.find([f"{before}{word}."])
        assert (span.start, span.end, span.kind) == (len(before), len(before) + len(word), DENIED)


def test_a_denied_word_is_not_found_inside_another(tmp_path: Path):
    assert panel(tmp_path, deny=["Ann"]).find(["Anna", "annual", "Ann-Kathrin"])[:2] == [[], []]


def test_kinds_join_patterns_and_words(tmp_path: Path):
    rules = read_rules(rules_file(tmp_path, patterns={"CODE": [r"C-\d+", "D+"]}, deny={"CODE": ["x1"], "NAME": "Bo"}))
    found = rules.find(["C-12 DD x1 Bo"])[0]
    assert [(span.kind, span.start, span.end) for span in found] == [
        ("CODE", 0, 4),
        ("CODE", 5, 7),
        ("CODE", 8, 10),
        ("NAME", 11, 13),
    ]


def test_longer_words_win(tmp_path: Path):
    import re

    assert re.findall(any_of(["New York", "New York City"]), "in New  York City") == ["New  York City"]


MISTAKES = [
    ({"denny": ["a"]}, "Did you mean `deny`"),
    ({"patterns": ["a"]}, "name a kind"),
    ({"patterns": {"code": "a"}}, "Kind 1"),
    ({"patterns": {"CODE": "(sesame"}}, "Pattern 1 of CODE"),
    ({"patterns": {"CODE": ["a+", "sesame*"]}}, None),
    ({"patterns": {"CODE": ["a+", "(sesame)*"]}}, "does not match nothing"),
    ({"patterns": {"CODE": r"(sesame)\1"}}, "back-references"),
    ({"patterns": {"CODE": 7}}, "should be a regular expression"),
    ({"deny": [7]}, "Entry 1 of deny"),
    ({"deny": ["sesame", "!"]}, "Entry 2 of deny"),
    ({"deny": ["Sesame"], "allow": ["sesame"]}, "both allows and denies 1"),
    (["sesame"], "should hold patterns, deny, allow"),
]


@pytest.mark.parametrize(("parts", "said"), MISTAKES)
def test_a_mistake_names_its_place_and_no_word(tmp_path: Path, parts, said: str | None):
    import yaml

    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(parts), encoding="utf-8")
    if said is None:
        assert read_rules(file).kinds == ("CODE",)
        return
    with pytest.raises(RecipeError) as told:
        read_rules(file)
    assert said in str(told.value) and "sesame" not in str(told.value).lower().replace("`deny: [a name]`", "")


def test_broken_yaml_is_not_quoted(tmp_path: Path):
    file = tmp_path / "rules.yaml"
    file.write_text("deny: [sesame\nallow: ]{", encoding="utf-8")
    with pytest.raises(RecipeError) as told:
        read_rules(file)
    assert "line 2" in str(told.value) and "sesame" not in str(told.value)
    with pytest.raises(RecipeError, match="no file of rules"):
        read_rules(tmp_path / "nowhere.yaml")
