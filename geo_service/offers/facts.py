"""What is known of a person when they trigger something: the facts that rules, texts and choices look at.

Made where the person's profile lives (`flow/profiles.py`), they travel with the crossing to wherever the store is decided
about. Compact: as an array, because one goes with every crossing that is handed over.
"""

from typing import Literal

import msgspec

OrderState = Literal["none", "open", "ready", "became_ready"]


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """One person, as of one instant, seen from one store."""

    agrees: bool = False
    """Whether this person agrees to offers; if not, nothing else is told."""
    visits: int = 0
    """Confirmed visits so far, to any store."""
    visits_here: int = 0
    """To this store."""
    last_visit_ms: int | None = None
    """End of the newest of them, epoch milliseconds."""
    last_visit_here_ms: int | None = None
    segments: tuple[str, ...] = ()
    affinities: dict[str, float] = {}
    """Category → weight, faded to this instant (`offers/affinity.py`)."""
    language: str | None = None
    order: OrderState = "none"
    """The person's order at this store; `became_ready`: this very instant, and that is what triggers."""
    elsewhere: dict[str, tuple[int, int | None, OrderState]] = {}
    """Of stores to which they may be redirected, and that they know: visits, end of the newest, order; as above."""

    def at(self, store: str) -> "Facts":
        """The same person as seen from another store."""
        visits, last_ms, order = self.elsewhere.get(store, (0, None, "none"))
        return msgspec.structs.replace(self, visits_here=visits, last_visit_here_ms=last_ms, order=order)
