"""The sections of the recipe for learners that read the set as demonstrations: their prompts, and their servers."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

DOOR = ConfigDict(extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, config=DOOR)
class Prompt:
    """In-context learning: what learners `prompt:`, `served:` and `served-chat:` read. Other learners ignore it."""

    orders: int = 3
    """Orders in which each set is shown, for scores vary much with them (Lu et al. 2022)."""
    context: int = 4096
    """Tokens that a served model can hold, its answer included; of models opened here it is known."""
    top_logprobs: int = 5
    """Likeliest first tokens to ask a server for; as many as there are classes at least, or its words are read instead.
    0 for servers that refuse to tell."""


@dataclass(frozen=True, config=DOOR)
class Server:
    """How the servers of learners and of rewrite.model (`served:`, `served-chat:`) are asked. Changes no result."""

    budget: int = 100_000
    """Requests that one evaluation, or one selection, may send to each served model, repeated ones included. What
    stands in the cache costs none."""
    parallel: int = 4
    """Requests under way at a time."""
    timeout: float = 60.0
    """Seconds without a sign of the server after which a request is repeated."""
    tries: int = 5
    """Times that a request is sent before the stage stops."""
    key_variable: str = "DILM_API_KEY"
    """Environment variable that holds the key, never the key itself; where it is not set, none is sent."""
