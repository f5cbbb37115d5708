"""A grammar reads what it writes, and nothing else."""

from __future__ import annotations

import random

import pytest

from dilm.data import toy, toy_pairs
from dilm.data.grammar import Grammar, read, spell, split

SIGNS = ({"SIGN": "good", "ANTI": "bad"}, {"SIGN": "bad", "ANTI": "good"})
TINY = """
say.SIGN = 3* claim.SIGN | claim.ANTI , but
    claim.SIGN
claim.SIGN = it was degree word.SIGN | it was not word.ANTI
degree = | very
word.good : fun a_joy
word.bad  : dull
"""


@pytest.fixture(scope="module")
def tiny() -> Grammar:
    return read(TINY, SIGNS)


def test_each_rule_is_written_for_each_binding(tiny: Grammar) -> None:
    assert set(tiny.rules) == {"say.good", "say.bad", "claim.good", "claim.bad", "degree", "word.good", "word.bad"}


def test_count_is_the_number_of_trees(tiny: Grammar) -> None:
    good, bad = 2 * 2 + 1, 2 * 1 + 2
    assert tiny.count("claim.good") == good
    assert tiny.count("say.good") == good + bad * good


def test_everything_it_can_say_is_found_and_parses_with_one_sign(tiny: Grammar) -> None:
    rng = random.Random(0)
    said = {tuple(tiny.derive("say.good", rng).words()) for _ in range(2000)}
    assert len(said) == tiny.count("say.good")
    assert all(tiny.parse("say.good", words) and not tiny.parse("say.bad", words) for words in said)


def test_tree_keeps_words_and_symbols(tiny: Grammar) -> None:
    tree = tiny.parse("say.bad", ["it", "was", "fun", ",", "but", "it", "was", "very", "dull"])
    assert tree is not None
    assert " ".join(tree.words()) == "it was fun , but it was very dull"
    assert [node.symbol for node in tree.nodes()][:2] == ["say.bad", "claim.good"]


@pytest.mark.parametrize("text", ["", "it was", "it was fun it was fun", "it was fun ,", "it is fun", "but it was fun"])
def test_what_it_cannot_say_does_not_parse(tiny: Grammar, text: str) -> None:
    assert tiny.parse("say.good", text.split()) is None


def test_fixed_symbols_are_spelled_out_instead(tiny: Grammar) -> None:
    trees = [tiny.derive("word.good", random.Random(seed), {"word.good": "word.bad"}) for seed in range(5)]
    assert {tuple(tree.words()) for tree in trees} == {("dull",)}


def test_weights_are_odds(tiny: Grammar) -> None:
    rng = random.Random(0)
    plain = sum("but" not in tiny.derive("say.good", rng).words() for _ in range(2000))
    assert 0.71 < plain / 2000 < 0.79


def test_split_undoes_spell() -> None:
    words = ("although", "it", "was", "dull", ",", "i", "liked", "it")
    assert split(f"{spell(words)}.") == split(f"{' '.join(words).upper()} . ") == words


@pytest.mark.parametrize("grammar", [toy.grammar(), toy_pairs.grammar()])
def test_no_word_of_a_toy_is_a_mistyped_symbol(grammar: Grammar) -> None:
    parts = {part for branches in grammar.rules.values() for branch in branches for part in branch.parts}
    assert all(
        word == "," or (word.isascii() and word.isalpha() and word.islower()) for word in parts - set(grammar.rules)
    )
    assert set(grammar.rules) - parts == {head for head in grammar.rules if head.startswith(("review.", "statement."))}
