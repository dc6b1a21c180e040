"""Shoppers who wait where they are for a store that is full: the queue that a partition keeps for each of its stores.

Who waits has triggered a campaign and stays in the fence that made it speak. She is asked again, with fresh facts, as soon
as there may be room: first by the campaign's priority, then by who came first. She waits no longer when she leaves the
fence (for whatever reason), comes in by herself, or gets what she waits for in another way.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

import msgspec

from geo_service.flow.entries import Pursuit
from geo_service.offers.facts import Facts
from geo_service.outputs import Crossing

MOST: Final = 200
"""Who may wait for one store; more are refused, and counted."""
ASKED_EVERY_MS: Final = 5_000
AT_ONCE: Final = 10
"""So many of a store are asked in one go; if there was room for all of them, more are asked a second later."""
SOON_MS: Final = 1_000


def comes_in(crossing: Crossing) -> bool:
    """Whether it says that somebody is in the store, and not merely in passing."""
    return crossing.role == "store" and crossing.type in ("enter", "dwell")


class Waiter(msgspec.Struct, kw_only=True):
    """Somebody who waits."""

    device: str
    crossing: Crossing
    """Of the trigger; its position is the newest that this store has heard of."""
    facts: Facts
    """The newest that this store has heard."""
    campaign: str
    offer: str
    """Id of the decision that was withheld."""
    reason: str
    """Of that, for people."""
    since_ms: int
    until_ms: int
    asked: int = 0
    """How often the ledger was asked since: each time under another key."""
    away: bool = False
    """Other stores are asked first."""


class Waiting:
    """The queues of some stores, by store and in the order of coming."""

    def __init__(self) -> None:
        self._of: dict[str, list[Waiter]] = {}
        self._places: Counter[str] = Counter()
        """By device how many places it has: nearly everybody has none, and is passed over."""
        self._due_ms: dict[str, int] = {}
        self._asked_ms: dict[str, int] = {}
        self._calm_until_ms = 0
        """Before then no queue is due; every entry asks, and there may be thousands of queues."""

    def __bool__(self) -> bool:
        return bool(self._of)

    # --- who comes and who goes --------------------------------------------------------------------------------------

    def join(self, waiter: Waiter, now_ms: int) -> bool:
        """Take a place; False where there is none left."""
        store = waiter.crossing.store or ""
        queue = self._of.get(store, [])
        if len(queue) >= MOST:
            return False
        self._of[store] = [*queue, waiter]
        self._places[waiter.device] += 1
        self._due(store, min(self._due_ms.get(store, now_ms + ASKED_EVERY_MS), now_ms + ASKED_EVERY_MS))
        return True

    def _due(self, store: str, at_ms: int) -> None:
        self._due_ms[store] = at_ms
        self._calm_until_ms = min(self._calm_until_ms, at_ms)

    def holds(self, store: str, device: str, campaign: str) -> bool:
        """Whether she waits for this store and campaign."""
        return any((each.device, each.campaign) == (device, campaign) for each in self._of.get(store, ()))

    def heard(self, crossing: Crossing, facts: Facts | None) -> None:
        """A crossing at one of these stores: somebody leaves, comes in, or is merely seen again; facts where they are told."""
        store = crossing.store or ""
        if crossing.device not in self._places or store not in self._of:
            return
        if crossing.type == "exit" or crossing.reason != "observed":
            self._keep(store, lambda each: (each.device, each.crossing.fence) != (crossing.device, crossing.fence))
            return
        if comes_in(crossing):  # nobody needs to be invited to where she is
            self._keep(store, lambda each: each.device != crossing.device or each.crossing.role == "store")
        for waiter in self._of.get(store, ()):
            if waiter.device == crossing.device:
                waiter.facts = facts or waiter.facts
                if crossing.lat is not None:
                    place = {"lat": crossing.lat, "lon": crossing.lon, "accuracy_m": crossing.accuracy_m}
                    waiter.crossing = msgspec.structs.replace(waiter.crossing, **place)

    def back(self, pursuit: Pursuit, now_ms: int) -> None:
        """The other stores were asked: she has her offer, or from now on it is this store's turn."""
        store, device = pursuit.crossing.store or "", pursuit.crossing.device
        for waiter in self._of.get(store, ()):
            if (waiter.device, waiter.offer) == (device, pursuit.offer):
                if pursuit.admitted is not None:
                    self.leave(waiter)
                else:
                    waiter.away = False
                    self._due(store, min(self._due_ms[store], now_ms + SOON_MS))
                return

    def leave(self, waiter: Waiter) -> None:
        """She waits no longer."""
        self._keep(waiter.crossing.store or "", lambda each: each is not waiter)

    def keep(self, wanted: Callable[[Waiter], bool]) -> None:
        """Only these go on waiting."""
        for store in list(self._of):
            self._keep(store, wanted)

    def end(self, device: str, unwanted: Callable[[Waiter], bool] = lambda _: True) -> None:
        """Somebody waits no longer, for these or for anything."""
        if device in self._places:
            self.keep(lambda each: each.device != device or not unwanted(each))

    def _keep(self, store: str, wanted: Callable[[Waiter], bool]) -> None:
        kept: list[Waiter] = []
        for each in self._of.get(store, ()):
            if wanted(each):
                kept.append(each)
            else:
                self._places[each.device] -= 1
                if not self._places[each.device]:
                    del self._places[each.device]
        if kept:
            self._of[store] = kept
        else:
            for known in (self._of, self._due_ms, self._asked_ms):
                known.pop(store, None)

    # --- whose turn it is --------------------------------------------------------------------------------------------

    def due(self, now_ms: int, busy: Iterable[str]) -> list[str]:
        """Stores whose queue is to be asked now. A busy one, where somebody else is about to be invited, is asked first, or
        those who wait would never have a turn.
        """
        due = {store for store in busy if store in self._of and self._asked_ms.get(store, 0) + SOON_MS <= now_ms}
        if not self.is_calm(now_ms):
            due.update(store for store, due_ms in self._due_ms.items() if due_ms <= now_ms)
            self._calm_until_ms = min((at for at in self._due_ms.values() if at > now_ms), default=now_ms)
        return sorted(due)

    def turn(self, store: str, priority: Callable[[str], int]) -> list[Waiter]:
        """Who waits for a store, in the order in which they are asked; `priority` is a campaign's."""
        return sorted(self._of[store], key=lambda each: (-priority(each.campaign), each.since_ms))

    def asked(self, store: str, now_ms: int, *, more: bool) -> None:
        """The queue was asked; with `more` there may be room for others of it."""
        if store in self._of:
            self._asked_ms[store] = now_ms
            self._due(store, now_ms + (SOON_MS if more else ASKED_EVERY_MS))

    def is_calm(self, now_ms: int) -> bool:
        """Whether no queue is due by itself."""
        return not self._of or now_ms < self._calm_until_ms

    def next_due_ms(self) -> int | None:
        """When a queue is next asked; None while nobody waits."""
        return min(self._due_ms.values(), default=None)

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everybody, and when they are asked."""
        waiters = [each for queue in self._of.values() for each in queue]
        return {"waiters": waiters, "due": self._due_ms, "asked": self._asked_ms}

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Self:
        """What `dump` wrote; {} from before anybody waited."""
        waiting = cls()
        for waiter in msgspec.convert(dumped.get("waiters", []), list[Waiter]):
            waiting._of.setdefault(waiter.crossing.store or "", []).append(waiter)
            waiting._places[waiter.device] += 1
        waiting._due_ms = dict(dumped.get("due", {}))
        waiting._asked_ms = dict(dumped.get("asked", {}))
        return waiting
