"""The section of the recipe for runs whose rows stay with several data holders."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe.prompt import DOOR


@dataclass(frozen=True, config=DOOR)
class Federation:
    """Several data holders distil together, and only sums over all of their rows are seen (`dilm federate`)."""

    clients: int = 0
    """Data holders; 0: all rows are here. With holders `data` is the server's own: public rows, to be scored on."""
    least: int = 0
    """Holders that must answer a round; 0: two thirds, and 3 at least. Fewer answers are never unmasked. With 2, three
    holders go on without one of them, and each of the two that are left sees the other's sum."""
    noise: str = "central"
    """With dp.epsilon: `central`, added by the server, which sees sums without it; or `distributed`: each holder adds
    the share of it that is enough where only `federation.least` answer, so with all of them there is more than is
    counted."""
    spare: float = 0.0
    """With dp.epsilon: share of additional steps, of fit and of releases, that the noise is made for. A server that was
    killed asks again for what came after its last checkpoint, and every time counts: without this it may not go on. The
    same of a run on one machine with dp.noise=secure."""
