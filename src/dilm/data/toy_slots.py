"""The embedded generation task: the slots of a place -> a sentence that tells all of them, as in E2E NLG.

What a place is stands in the slots, how it is said is drawn: a learner can be told by its target's perplexity, and by
whether every slot is in what it writes (`numerics.answers`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from dilm.runtime.seeding import python_stream
from dilm.types import Example

VALUES: Mapping[str, tuple[str, ...]] = {
    "name": tuple(
        f"the {colour} {animal}"
        for colour in ("red", "green", "old", "golden")
        for animal in ("fox", "owl", "swan", "lion", "goose", "crown")
    ),
    "kind": ("cafe", "pub", "restaurant", "hotel", "museum", "library"),
    "area": ("riverside", "city centre", "harbour", "old town"),
    "price": ("cheap", "moderate", "expensive"),
    "offers": ("pasta", "sushi", "tea", "curry", "music", "books", "paintings"),
    "rating": ("low", "average", "high"),
}
"""Slot to what it may be. The first two are always there."""
OFTEN = 0.6
"""How often each of the others is."""

OPENINGS = ("{name} is a {kind}", "there is a {kind} called {name}", "{name} , a {kind} ,", "the {kind} {name}")
PHRASES: Mapping[str, tuple[str, ...]] = {
    "area": ("in the {area}", "near the {area}", "you find in the {area}"),
    "price": ("with {price} prices", "at {price} prices"),
    "offers": ("that offers {offers}", "known for its {offers}", "where people come for {offers}"),
    "rating": ("with a {rating} rating", "rated {rating} by its guests"),
}


def places(count: int, seed: int) -> list[Example]:
    """`count` distinct pairs of slots and sentence, all under condition 0.

    >>> places(1, seed=0)[0].texts[0].startswith("name[the ")
    True
    """
    rng = python_stream(seed, "toy_generation")
    found: dict[tuple[str, str], None] = {}
    while len(found) < count:
        place = _think(rng)
        found.setdefault((meaning(place), tell(place, rng)))
    return [Example(texts, 0) for texts in found]


def meaning(place: Mapping[str, str]) -> str:
    """The slots of a place as text.

    >>> meaning({"name": "the red fox", "kind": "pub"})
    'name[the red fox], kind[pub]'
    """
    return ", ".join(f"{slot}[{value}]" for slot, value in place.items())


def tell(place: Mapping[str, str], rng: random.Random) -> str:
    """A sentence that says all slots of a place."""
    told = [rng.choice(PHRASES[slot]).format(**place) for slot in place if slot in PHRASES]
    rng.shuffle(told)
    return " ".join([rng.choice(OPENINGS).format(**place), *told, "."])


def _think(rng: random.Random) -> dict[str, str]:
    return {
        slot: rng.choice(values) for slot, values in VALUES.items() if slot in ("name", "kind") or rng.random() < OFTEN
    }
