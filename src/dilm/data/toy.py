"""The embedded toy task: reviews of films, meals and gadgets from a grammar, so every text has a true label.

It needs no download, is learned in a minute, and is not trivial: a fifth of the reviews weigh one clause against
another, or deny an opinion, so counting words is not enough. `parse` knows the label of any text that the grammar can
say, including texts that a generator wrote: it measures whether synthetic text means what its label claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from dilm.data.grammar import Grammar, Tree, read, spell, split
from dilm.runtime.seeding import python_stream
from dilm.types import Example

LABELS = ("negative", "positive")
SIGNS = ("bad", "good")
SHORTEST, LONGEST = 6, 22
"""Words of a review."""

RULES = """
review.SIGN = opinion.SIGN.film | opinion.SIGN.meal | opinion.SIGN.gadget

opinion.SIGN.THING =
    14* about.SIGN.THING | 14* claim.SIGN.THING and claim.SIGN.THING
    | 3* aside.THING , and claim.SIGN.THING | 1* aside.THING , but claim.SIGN.THING
    | 2* claim.SIGN.THING , and aside.THING
    | 1* claim.ANTI.THING , but claim.SIGN.THING | 2* claim.ANTI.THING , but claim.SIGN.THING and claim.SIGN.THING
    | 1* although claim.ANTI.THING , claim.SIGN.THING | 1* claim.SIGN.THING , although claim.ANTI.THING
    | 1* mood , but claim.SIGN.THING

about.SIGN.THING =
    5* parts.THING where.THING was quality.SIGN.THING | 2* person feeling.SIGN parts.THING where.THING
    | 1* this.THING had parts.THING that person feeling.SIGN | 1* this.THING was judgement.SIGN.THING
    | 2* this.THING was judgement.SIGN.THING because parts.THING was quality.SIGN.THING

claim.SIGN.THING =
    6* parts.THING was quality.SIGN.THING | 3* person feeling.SIGN parts.THING
    | 1* person did not bare.ANTI parts.THING | 1* this.THING was judgement.SIGN.THING

quality.SIGN.THING =
    7* trait.SIGN.THING | 5* degree trait.SIGN.THING | 3* trait.SIGN.THING and trait.SIGN.THING
    | 1* denial trait.ANTI.THING
judgement.SIGN.THING = 4* quality.SIGN.THING | 5* noun.SIGN | 2* degree.noun noun.SIGN | 1* denial noun.ANTI
trait.SIGN.THING = trait.SIGN | special.SIGN.THING

parts.THING = the part.THING
where.film = in this.film | of this.film
where.meal = at this.meal | in this.meal
where.gadget = of this.gadget | on this.gadget
this.THING = this thing.THING

aside.THING = person act.THING when | when person act.THING
act.film = saw it | watched it | rented it | streamed it with company
act.meal = ate there | stopped there | went there | came with company
act.gadget = bought it | ordered it | unpacked it | tried it with company
when = on a outlook day | last season | that season | before the event | after the event | during the event
company = friends | my person.family | colleagues | neighbors
mood = the surroundings was trait.SIGN that season
person = 3* i | 2* we | everyone | my person.family | our person.other | the person.other
denial = 3* not | 2* never | 2* hardly | far from | anything but
degree.noun = 3* clearly | 2* simply | 2* really

thing.film   : film movie picture drama comedy thriller sequel musical western documentary
thing.meal   : place restaurant cafe diner bistro tavern canteen pizzeria brasserie buffet
thing.gadget : phone laptop camera tablet watch speaker printer drone blender toaster kettle scooter
part.film    : plot acting ending script cast music story dialogue pacing humor scenery editing soundtrack finale
    direction opening camerawork romance villain hero
part.meal    : soup bread pizza dessert salad sauce steak pasta curry chicken fish coffee rice cake wine burger
    omelette risotto breakfast lunch
part.gadget  : screen battery keyboard sound design display software charger lens button cable manual remote motor
    hinge menu case sensor microphone update

trait.good : good great excellent wonderful superb amazing fantastic brilliant perfect lovely terrific impressive
    delightful outstanding splendid exceptional flawless marvelous remarkable admirable
trait.bad  : bad poor terrible awful horrible disappointing dreadful weak mediocre annoying lousy unpleasant inferior
    pathetic miserable appalling shoddy dismal abysmal wretched
special.good.film : funny clever moving gripping charming witty touching thrilling original memorable elegant
    convincing inventive captivating graceful poetic heartfelt suspenseful hypnotic luminous
special.bad.film  : boring dull predictable silly slow shallow clumsy tedious forgettable muddled wooden lifeless
    pretentious incoherent contrived sluggish hollow corny unfunny childish
special.good.meal : tasty fresh delicious rich fragrant savory satisfying hearty refreshing balanced flavorful
    comforting aromatic generous succulent delicate wholesome tempting heavenly luscious
special.bad.meal  : bland cold stale greasy tasteless soggy sour salty bitter watery burnt oily rancid rubbery
    inedible tough overcooked spoiled mushy lukewarm
special.good.gadget : fast reliable sturdy sharp handy bright durable smooth quiet responsive precise robust
    dependable intuitive efficient accurate compact stylish seamless rugged
special.bad.gadget  : slow flimsy faulty fragile noisy unreliable clunky blurry bulky useless buggy laggy outdated
    defective brittle cramped wobbly crude inaccurate scratchy

feeling.good : loved liked enjoyed admired praised adored appreciated recommended treasured celebrated
feeling.bad  : hated disliked regretted criticized despised loathed detested resented mocked condemned
bare.good    : love like enjoy admire praise appreciate recommend
bare.bad     : hate dislike regret mind criticize resent
noun.good : a_joy a_treat a_gem a_success a_delight a_triumph a_masterpiece a_bargain a_winner a_pleasure
noun.bad  : a_mess a_waste a_failure a_disaster a_letdown a_disgrace a_flop a_mistake a_nightmare a_ripoff
degree : very really truly so quite remarkably absolutely incredibly extremely genuinely surprisingly thoroughly
    utterly especially deeply
outlook : rainy sunny cold snowy windy foggy quiet busy warm stormy
season : week weekend summer winter month spring autumn monday friday evening
event : holidays wedding party concert exam parade meeting match ceremony trip
surroundings : weather traffic parking journey crowd neighborhood queue street
person.family : sister brother wife mother husband father cousin uncle aunt daughter
person.other : neighbor boss teacher guest roommate doctor landlord colleague
"""

BINDINGS = tuple(
    {"SIGN": sign, "ANTI": anti, "THING": thing}
    for sign, anti in (SIGNS, SIGNS[::-1])
    for thing in ("film", "meal", "gadget")
)


@cache
def grammar() -> Grammar:
    """The grammar of `RULES`, read once."""
    return read(RULES, BINDINGS)


def sentences(count: int, seed: int) -> list[Example]:
    """`count` distinct reviews, negative and positive in turn.

    >>> [parse(example.texts[0]) for example in sentences(4, seed=0)]
    [0, 1, 0, 1]
    """
    rng = python_stream(seed, "toy")
    found: dict[str, int] = {}
    while len(found) < count:
        label = len(found) % 2
        tree = grammar().derive(f"review.{SIGNS[label]}", rng)
        if _natural(tree):
            found.setdefault(f"{spell(tree.words())}.", label)
    return [Example((text,), label) for text, label in found.items()]


def parse(text: str) -> int | None:
    """The true label of a review, however it is cased and spaced, or None when the grammar cannot say it.

    >>> parse("Although the soup was never bland , i hated the bread"), parse("the soup is bland")
    (0, None)
    """
    words = split(text)
    for label, sign in enumerate(SIGNS):
        if grammar().parse(f"review.{sign}", words):
            return label
    return None


def _natural(tree: Tree) -> bool:
    """Whether a person would say it: of a fair length, about one thing, and never twice about the same part of it."""
    words = [word for word in tree.words() if word != ","]
    told = [
        word for kind in ("part.", "trait.", "special.", "person.", "season", "event") for word in _words(tree, kind)
    ]
    things = set(_words(tree, "thing."))
    return SHORTEST <= len(words) <= LONGEST and len(set(told)) == len(told) and len(things) <= 1


def _words(tree: Tree, kind: str) -> Iterator[str]:
    """The words that symbols of one kind were spelled out to."""
    for node in tree.nodes():
        if node.symbol.startswith(kind):
            yield from (part for part in node.parts if isinstance(part, str))
