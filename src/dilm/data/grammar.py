"""Small grammars that both write and read: what `derive` can say, `parse` understands.

A grammar is a text. Lines with `=` are rules, lines with `:` are word lists, capital words are variables:

    review.SIGN = 3* claim.SIGN | claim.ANTI , but claim.SIGN
    claim.SIGN  = the part was trait.SIGN | the part was not trait.ANTI
    trait.good  : superb witty
    trait.bad   : boring clumsy
    part        : plot cast

A rule is written once for every binding of its variables, so `review.SIGN` becomes `review.good` and `review.bad`:
the meaning is part of the symbol, and the symbol under which a text parses *is* its label. `3*` makes an alternative
three times as likely; an indented line continues the one above; `a_joy` in a word list is two words. The first words of
a list are the commonest, as in any language. Rules must not recurse, and no word may be called like a symbol.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

Binding = Mapping[str, str]
"""What each variable of a rule stands for, for example `{"SIGN": "good", "ANTI": "bad"}`."""

COMMON = 1.25
"""Word number r of a list is r ** -COMMON times as likely as the first: Zipf's law, a little steeper."""


@dataclass(frozen=True, slots=True)
class Tree:
    """How a symbol was spelled out: words and smaller trees, in reading order."""

    symbol: str
    parts: tuple[Tree | str, ...]

    def words(self) -> Iterator[str]:
        """The words from left to right."""
        for part in self.parts:
            if isinstance(part, Tree):
                yield from part.words()
            else:
                yield part

    def nodes(self) -> Iterator[Tree]:
        """This tree and every tree below it, in reading order."""
        yield self
        for part in self.parts:
            if isinstance(part, Tree):
                yield from part.nodes()


@dataclass(frozen=True, slots=True)
class Branch:
    """One way to spell out a symbol: words and symbols in order, and how likely it is beside its neighbours."""

    parts: tuple[str, ...]
    weight: float


class Grammar:
    """Rules by symbol; every name without a rule is a word."""

    def __init__(self, rules: Mapping[str, Sequence[Branch]]) -> None:
        self.rules = rules
        self._odds = {head: list(accumulate(branch.weight for branch in rules[head])) for head in rules}
        self._starts = {head: _by_first_word(rules[head], rules) for head in rules}

    def derive(self, symbol: str, rng: random.Random, fixed: Binding | None = None) -> Tree:
        """A random tree of `symbol`; wherever a key of `fixed` would be spelled out, its value is instead."""
        symbol = (fixed or {}).get(symbol, symbol)
        branch = rng.choices(self.rules[symbol], cum_weights=self._odds[symbol])[0]
        parts = (self.derive(part, rng, fixed) if part in self.rules else part for part in branch.parts)
        return Tree(symbol, tuple(parts))

    def parse(self, symbol: str, words: Sequence[str]) -> Tree | None:
        """The tree with which `symbol` spells out exactly these words, or None."""

        @cache
        def ends(head: str, start: int) -> dict[int, Tree]:
            """Where a `head` that begins at `start` may end, with the first tree that ends there."""
            found: dict[int, Tree] = {}
            word = words[start] if start < len(words) else ""
            for branch in self._starts[head].get(word, ()) + self._starts[head].get("", ()):
                for end, parts in spellings(branch.parts, start):
                    found.setdefault(end, Tree(head, parts))
            return found

        def spellings(parts: tuple[str, ...], start: int) -> Iterator[tuple[int, tuple[Tree | str, ...]]]:
            if not parts:
                yield start, ()
            elif parts[0] in self.rules:
                for middle, tree in ends(parts[0], start).items():
                    yield from ((end, (tree, *rest)) for end, rest in spellings(parts[1:], middle))
            elif start < len(words) and words[start] == parts[0]:
                yield from ((end, (parts[0], *rest)) for end, rest in spellings(parts[1:], start + 1))

        return ends(symbol, 0).get(len(words))

    def count(self, symbol: str) -> int:
        """How many different trees `symbol` has."""

        @cache
        def trees(name: str) -> int:
            if name not in self.rules:
                return 1
            total = 0
            for branch in self.rules[name]:
                product = 1
                for part in branch.parts:
                    product *= trees(part)
                total += product
            return total

        return trees(symbol)


def read(text: str, bindings: Sequence[Binding]) -> Grammar:
    """The grammar that a text of rules describes, with every rule written once for each binding.

    >>> signs = [{"SIGN": "good", "ANTI": "bad"}, {"SIGN": "bad", "ANTI": "good"}]
    >>> tiny = read("say.SIGN = it was w.SIGN | it was not w.ANTI\\nw.good : fun\\nw.bad : dull", signs)
    >>> tiny.count("say.bad"), tiny.parse("say.bad", "it was not fun".split()) is not None
    (2, True)
    """
    rules: dict[str, list[Branch]] = {}
    lines = re.sub(r"\n[ \t]+", " ", text).splitlines()
    for line in filter(str.strip, lines):
        for bound in {_bind(line, binding): None for binding in bindings}:
            head, branches = _rule(bound)
            rules.setdefault(head, []).extend(branches)
    return Grammar({head: tuple(branches) for head, branches in rules.items()})


def spell(words: Iterable[str]) -> str:
    """Words as plain text: no space before punctuation.

    >>> spell(["dull", ",", "but", "short", "."])
    'dull, but short.'
    """
    return re.sub(r" ([.,])", r"\1", " ".join(words))


def split(text: str) -> tuple[str, ...]:
    """Text as lower-case words and punctuation marks, however they are spaced; a final full stop is dropped.

    >>> split("Dull , but short.")
    ('dull', ',', 'but', 'short')
    """
    words = tuple(re.findall(r"[a-z]+|[^a-z\s]", text.lower()))
    return words[:-1] if words[-1:] == (".",) else words


def _bind(line: str, binding: Binding) -> str:
    return re.sub(r"\b[A-Z]+\b", lambda name: binding[name.group()], line)


def _rule(line: str) -> tuple[str, list[Branch]]:
    head, mark, body = line.strip().partition(" = ")
    if mark:
        return head.strip(), [_branch(option) for option in body.split("|")]
    head, _, words = line.partition(" : ")
    ranked = enumerate(words.split(), start=1)
    return head.strip(), [Branch(tuple(word.split("_")), rank**-COMMON) for rank, word in ranked]


def _branch(option: str) -> Branch:
    times = re.match(r"\s*(\d+)\*", option)
    return Branch(tuple(option[times.end() if times else 0 :].split()), float(times[1]) if times else 1.0)


def _by_first_word(branches: Sequence[Branch], rules: Mapping[str, object]) -> dict[str, tuple[Branch, ...]]:
    """Branches by the word they start with, under "" those that start with a symbol or are empty: a quick index."""
    index: dict[str, tuple[Branch, ...]] = {}
    for branch in branches:
        first = branch.parts[0] if branch.parts and branch.parts[0] not in rules else ""
        index[first] = (*index.get(first, ()), branch)
    return index
