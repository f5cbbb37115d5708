"""What a name in `evaluate.baselines` says of a coreset of real rows: who chooses, and behind an `@` how much of it."""

from __future__ import annotations

from collections.abc import Sequence

TOKENS = "@tokens"
"""As many tokens as our sets have, one row an example."""
PACKED = "@packed"
"""As many rows in one example as ours hold texts."""


def chooser(name: str) -> str:
    """The selector in a name.

    >>> chooser("typical@packed"), chooser("random")
    ('typical', 'random')
    """
    return name.partition("@")[0]


def rows_in_one(name: str, packed: int) -> int:
    """Rows in an example of a baseline, where ours hold `packed` texts.

    >>> rows_in_one("typical@packed", 4), rows_in_one("typical@tokens", 4)
    (4, 1)
    """
    return packed if name.endswith(PACKED) else 1


def with_amounts(selectors: Sequence[str]) -> tuple[str, ...]:
    """Selectors, and each with every amount; a race, which trains for every set that it tries, has no other."""
    plain = [name for name in selectors if name != "raced"]
    return (*selectors, *(f"{name}{amount}" for amount in (TOKENS, PACKED) for name in plain))
