"""The embedded pair task: do two sentences about somebody's belongings say the same thing?

A sentence tells of one meaning: who owns what, which quality it has, and which end of that quality. Two sentences with
one meaning share few words (synonyms, another order, a denied opposite); two with different meanings differ in exactly
one of the four. `parse_pair` reads both meanings back, so every pair that the grammar can say has a true label.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache

from dilm.data.grammar import Grammar, Tree, read, spell, split
from dilm.runtime.seeding import python_stream
from dilm.types import Example

LABELS = ("different", "same")
SIGNS = ("low", "high")

RULES = """
statement.SIGN = 3* fact.SIGN | opener fact.SIGN

fact.SIGN = 3* the thing of my owner is value.SIGN | 2* my owner has a thing that is value.SIGN
    | 2* my owner owns a thing , and it is value.SIGN | the thing that my owner owns is value.SIGN
    | the thing which belongs to my owner is value.SIGN
    | there is a thing that belongs to my owner , and it is value.SIGN
    | 2* my owner bought a thing that is value.SIGN | the thing that my owner bought is value.SIGN

value.SIGN = 5* trait.SIGN | 3* degree trait.SIGN | 3* denial trait.ANTI
trait.SIGN = trait.SIGN.price | trait.SIGN.size | trait.SIGN.age | trait.SIGN.weight | trait.SIGN.noise
    | trait.SIGN.dirt | trait.SIGN.beauty | trait.SIGN.rarity | trait.SIGN.strength | trait.SIGN.glow
owner = owner.boss | owner.teacher | owner.doctor | owner.friend | owner.father | owner.mother
    | owner.lawyer | owner.landlord | owner.grandma | owner.spouse
thing = thing.phone | thing.laptop | thing.car | thing.house | thing.sofa | thing.jacket | thing.bag | thing.boat
    | thing.bike | thing.lamp | thing.ring | thing.rug

opener = i think that | people say that | it seems that | as far as i know , | everybody knows that
denial = 3* not | not at all | hardly | far from | anything but
degree : very really quite truly rather

owner.boss     : boss manager supervisor
owner.teacher  : teacher instructor tutor
owner.doctor   : doctor physician
owner.friend   : friend pal buddy
owner.father   : father dad
owner.mother   : mother mom
owner.lawyer   : lawyer attorney
owner.landlord : landlord proprietor
owner.grandma  : grandmother grandma
owner.spouse   : spouse partner

thing.phone  : phone handset
thing.laptop : laptop notebook
thing.car    : car motorcar
thing.house  : house home
thing.sofa   : sofa couch settee
thing.jacket : jacket coat
thing.bag    : bag purse handbag
thing.boat   : boat vessel
thing.bike   : bike bicycle
thing.lamp   : lamp lantern
thing.ring   : ring band
thing.rug    : rug carpet

trait.high.price : expensive costly pricey
trait.low.price  : cheap inexpensive affordable
trait.high.size  : big large huge
trait.low.size   : small tiny little
trait.high.age   : old ancient aged
trait.low.age    : new recent modern
trait.high.weight : heavy weighty
trait.low.weight  : light lightweight
trait.high.noise : loud noisy
trait.low.noise  : quiet silent
trait.high.dirt  : dirty filthy grimy
trait.low.dirt   : clean spotless
trait.high.beauty : beautiful pretty gorgeous
trait.low.beauty  : ugly hideous unsightly
trait.high.rarity : rare unusual uncommon
trait.low.rarity  : common ordinary usual
trait.high.strength : sturdy solid robust
trait.low.strength  : fragile flimsy delicate
trait.high.glow : bright shiny colorful
trait.low.glow  : dark gloomy dull
"""

BINDINGS = ({"SIGN": "low", "ANTI": "high"}, {"SIGN": "high", "ANTI": "low"})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a sentence says: for example, that the price of the phone of the boss is high."""

    owner: str
    thing: str
    quality: str
    sign: str


@cache
def grammar() -> Grammar:
    """The grammar of `RULES`, read once."""
    return read(RULES, BINDINGS)


def pairs(count: int, seed: int) -> list[Example]:
    """`count` distinct pairs of sentences, different and same in turn.

    >>> [parse_pair(*example.texts) for example in pairs(4, seed=0)]
    [0, 1, 0, 1]
    """
    rng = python_stream(seed, "toy_pairs")
    found: dict[tuple[str, str], int] = {}
    while len(found) < count:
        label = len(found) % 2
        meaning = _think(rng)
        first, second = _tell(meaning, rng), _tell(meaning if label else _changed(meaning, rng), rng)
        if first != second:
            found.setdefault((first, second), label)
    return [Example(texts, label) for texts, label in found.items()]


def parse(text: str) -> Meaning | None:
    """What one sentence says, however it is cased and spaced, or None when the grammar cannot say it.

    >>> parse("The handset of my manager is not at all cheap .")
    Meaning(owner='boss', thing='phone', quality='price', sign='high')
    """
    words = split(text)
    for sign in SIGNS:
        if tree := grammar().parse(f"statement.{sign}", words):
            return _meaning(tree)
    return None


def parse_pair(first: str, second: str) -> int | None:
    """1 when both sentences say the same, 0 when they do not, None when the grammar cannot say one of them."""
    meanings = parse(first), parse(second)
    return None if None in meanings else int(meanings[0] == meanings[1])


def _think(rng: random.Random) -> Meaning:
    return _meaning(grammar().derive(f"statement.{rng.choice(SIGNS)}", rng))


def _tell(meaning: Meaning, rng: random.Random) -> str:
    """One of the many sentences with this meaning."""
    chosen = {f"trait.{sign}": f"trait.{sign}.{meaning.quality}" for sign in SIGNS}
    chosen |= {"owner": f"owner.{meaning.owner}", "thing": f"thing.{meaning.thing}"}
    return f"{spell(grammar().derive(f'statement.{meaning.sign}', rng, chosen).words())}."


def _changed(meaning: Meaning, rng: random.Random) -> Meaning:
    """A meaning that differs in exactly one thing."""
    facet = rng.choice(("owner", "thing", "quality", "sign"))
    while (other := getattr(_think(rng), facet)) == getattr(meaning, facet):
        pass
    return replace(meaning, **{facet: other})


def _meaning(tree: Tree) -> Meaning:
    """The last name of each telling symbol: `owner.boss`, `thing.phone`, `trait.high.price`, `statement.high`."""
    last = {node.symbol.split(".")[0]: node.symbol.split(".")[-1] for node in tree.nodes() if "." in node.symbol}
    return Meaning(last["owner"], last["thing"], last["trait"], last["statement"])
