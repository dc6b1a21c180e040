"""Offers that are over, remembered for a while: one may turn out late never to have reached its shopper, and then says
nothing of whether people take such offers up.
"""

from collections import Counter
from collections.abc import Mapping

import msgspec

KEPT_MS = 3_600_000


class Over(msgspec.Struct, array_like=True, frozen=True):
    """How an offer ended. Of the person only a fingerprint is kept."""

    since_ms: int
    campaign: str
    visitor: str
    """Of the device and the store."""
    accepted: bool


class Aftermath:
    """The offers of the last hour; time never runs backwards."""

    def __init__(self, kept: Mapping[str, Over] | None = None) -> None:
        """`kept`, by offer, as `kept` had it."""
        self.kept: dict[str, Over] = dict(kept or {})
        self._visitors = Counter(over.visitor for over in self.kept.values())

    def add(self, offer_id: str, over: Over) -> None:
        """An offer is over."""
        self._sweep(over.since_ms)
        self.kept[offer_id] = over
        self._visitors[over.visitor] += 1

    def take(self, offer_id: str, now_ms: int) -> Over | None:
        """How an offer ended, and forget it; None where that is not known (any more), so a repeat changes nothing."""
        self._sweep(now_ms)
        return self._drop(offer_id) if offer_id in self.kept else None

    def knows(self, visitor: str) -> bool:
        """Whether some offer to them is remembered."""
        return visitor in self._visitors

    def _sweep(self, now_ms: int) -> None:
        while self.kept:
            offer_id = next(iter(self.kept))
            if now_ms - self.kept[offer_id].since_ms < KEPT_MS:
                break
            self._drop(offer_id)

    def _drop(self, offer_id: str) -> Over:
        over = self.kept.pop(offer_id)
        self._visitors[over.visitor] -= 1
        if not self._visitors[over.visitor]:
            del self._visitors[over.visitor]
        return over
