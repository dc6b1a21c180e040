"""What becomes of a shopper whom nothing but pacing kept from an offer: another store of the campaign, or a place in the queue.

```
withheld by pacing ──► the nearest other stores, one after the other ──► one has room: her offer is for there
                                        │ none has
                                        └──► she waits (`waiting.py`) ──► there is room: her offer is for here
```

Of one trigger one campaign goes on: of those that ask for it the first in rank, and only if none of the others spoke. She
takes her place in the queue before other stores are asked, so that whatever ends her waiting is heard in any case.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from geo_service.catalogue.documents import Campaign, Fence, Store
from geo_service.catalogue.site import Site
from geo_service.flow.entries import Pursuit
from geo_service.flow.waiting import AT_ONCE, Waiter, Waiting, comes_in
from geo_service.offers.campaigns import Placement, concerns
from geo_service.offers.decide import Option, Plan
from geo_service.offers.facts import Facts
from geo_service.offers.redirect import FOLLOWS, Reach, as_there, redirected_from
from geo_service.outputs import Crossing, Offer
from sensors.instants import instant

PACING: Final = "pacing: "
"""What the reason of such a decision begins with."""


class Beside(NamedTuple):
    """What stands beside a decision that follows up another."""

    evidence: dict[str, Any]
    because: str
    """Of an admission."""


Judge = Callable[[Placement, Crossing, Facts, Beside], Plan]
"""One campaign in one store, as of the entry that is being folded."""


class Try(NamedTuple):
    """A plan to be settled, and what it is a part of."""

    plan: Plan
    place: int = -1
    """Of its crossing among those of this entry."""
    pursuit: Pursuit | None = None
    waiter: Waiter | None = None
    over: bool = False
    """Her time is over: this decision is the last word."""


class Pursuing:
    """Follow-ups of the stores that one partition owns. `site` belongs to the partition and is only read."""

    def __init__(self, site: Site, placement: Callable[[Campaign, Store], Placement]) -> None:
        self.waiting = Waiting()
        self.owns: Callable[[str], bool] = lambda _: True
        self._outgoing: list[Pursuit] = []
        self._refused = 0
        self._site = site
        self._placement = placement
        self._reach: dict[str, Reach] = {}
        self._elsewhere: dict[str, list[frozenset[str]]] = {}
        self._queues: dict[str, bool] = {}

    # --- the site ----------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """The site did: who waits for what is not there any more, does no longer."""
        for memory in (self._reach, self._elsewhere, self._queues):
            memory.clear()
        if self.waiting:
            self.waiting.keep(self._is_meant)

    def _is_meant(self, waiter: Waiter) -> bool:
        crossing = waiter.crossing
        campaign, store = self._site.campaign.get(waiter.campaign), self._site.store.get(crossing.store or "")
        if campaign is None or store is None or not concerns(campaign, store):
            return False
        when, trigger = campaign.when_full, campaign.trigger
        if when is None or when.wait_s is None or trigger.role != crossing.role or trigger.type in ("exit", "cross"):
            return False
        return self.tells_exits(crossing)

    def tells_exits(self, crossing: Crossing) -> bool:
        """Whether leaving this fence would be heard."""
        fence: Fence | None = self._site.fence.get(crossing.fence)
        if fence is None or fence.disabled or (fence.store, fence.role) != (crossing.store, crossing.role):
            return False
        return "exit" in fence.detect

    def has_queue(self, store_id: str) -> bool:
        """Whether somebody may wait there, so that whoever leaves must be told of."""
        found = self._queues.get(store_id)
        if found is None:
            store = self._site.store.get(store_id)
            asks = (each for each in self._site.campaign.values() if each.when_full and each.when_full.wait_s)
            found = self._queues[store_id] = store is not None and any(concerns(each, store) for each in asks)
        return found

    def elsewhere(self, store_id: str) -> list[frozenset[str]]:
        """The stores to which somebody may be sent from here, by campaign."""
        found = self._elsewhere.get(store_id)
        if found is None:
            store = self._site.store.get(store_id)
            asks = (each for each in self._site.campaign.values() if each.when_full and each.when_full.redirect_m)
            found = [self.reach(each).ids for each in asks if store is not None and concerns(each, store)]
            self._elsewhere[store_id] = found
        return found

    def reach(self, campaign: Campaign) -> Reach:
        """Where the stores of a campaign are."""
        found = self._reach.get(campaign.id)
        if found is None:
            stores = (store for store in self._site.store.values() if concerns(campaign, store))
            found = self._reach[campaign.id] = Reach(stores)
        return found

    # --- after a trigger ---------------------------------------------------------------------------------------------

    def follow(
        self, tries: Sequence[Try], offers: Sequence[Offer], crossings: Sequence[Crossing], judge: Judge, now_ms: int
    ) -> tuple[list[Offer], list[Try]]:
        """What these decisions lead to: those that are to be said, and what is to be settled next.

        `crossings` are all of this entry, in order.
        """
        said: list[Offer] = []
        further: list[Try] = []
        at, by_device = 0, None
        for each in tries:
            of_this = offers[at : at + len(each.plan.options)]
            at += len(of_this)
            if each.waiter is not None:
                said += self._after_wait(each, each.waiter, of_this)
                continue
            said += of_this
            if each.pursuit is not None:
                further += self._after_stop(each.pursuit, of_this, judge, now_ms)
            elif (stopped := stopped_by_pacing(each.plan, of_this)) is not None:
                by_device = _by_device(crossings) if by_device is None else by_device
                if not _has_left(each, by_device):
                    further += self._after_trigger(each, *stopped, judge, now_ms)
        if self.waiting:
            for offer in said:
                if offer.decision != "withheld":
                    self._supersede(offer)
        return said, further

    def _after_trigger(self, tried: Try, option: Option, offer: Offer, judge: Judge, now_ms: int) -> list[Try]:
        crossing, facts = tried.plan.crossing, tried.plan.world.facts
        campaign, when = option.placement.campaign, option.placement.terms.when_full
        if when is None or self.waiting.holds(crossing.store or "", crossing.device, campaign.id):
            return []
        then: dict[str, Any] = {}
        stores: list[str] = []
        reason = offer.reason.removeprefix(PACING)
        if when.redirect_m is not None:
            then["redirect"] = stores = self.reach(campaign).instead(crossing, when.redirect_m)
        waits = when.wait_s is not None and self._join(
            Waiter(
                device=crossing.device,
                crossing=crossing,
                facts=facts,
                campaign=campaign.id,
                offer=offer.id,
                reason=reason,
                since_ms=now_ms,
                until_ms=_until_ms(option.placement, when.wait_s, now_ms),
                away=bool(stores),
            ),
            then,
            now_ms,
        )
        offer.evidence["then"] = then
        if not stores:
            return []
        return self.next_of(Pursuit(crossing, facts, campaign.id, offer.id, reason, stores, waits=waits), judge, now_ms)

    def _join(self, waiter: Waiter, then: dict[str, Any], now_ms: int) -> bool:
        if not self.tells_exits(waiter.crossing):
            then["wait"] = "nobody can wait in a fence that does not tell of exits"
        elif self.waiting.join(waiter, now_ms):
            then["wait_until"] = instant(waiter.until_ms)
            return True
        else:
            self._refused += 1
            then["wait"] = "as many as may wait for this store do already"
        return False

    # --- other stores ------------------------------------------------------------------------------------------------

    def next_of(self, pursuit: Pursuit, judge: Judge, now_ms: int) -> list[Try]:
        """Ask the next store, or send her on to whoever owns it; with none left, she is back."""
        while pursuit.stores:
            store_id = pursuit.stores[0]
            if not self.owns(store_id):
                self._outgoing.append(pursuit)
                return []
            pursuit = msgspec.structs.replace(pursuit, stores=pursuit.stores[1:], tried=pursuit.tried + 1)
            plan = self._plan_there(pursuit, store_id, judge)
            if plan is not None:
                return [Try(plan, pursuit=pursuit)]
        if pursuit.waits:
            if self.owns(pursuit.crossing.store or ""):
                self.waiting.back(pursuit, now_ms)
            else:
                self._outgoing.append(pursuit)
        return []

    def _plan_there(self, pursuit: Pursuit, store_id: str, judge: Judge) -> Plan | None:
        """How she is judged at another store; None where the campaign is not (any more)."""
        campaign, store = self._site.campaign.get(pursuit.campaign), self._site.store.get(store_id)
        if campaign is None or store is None or not concerns(campaign, store):
            return None
        plan = plan_there(pursuit, self._placement(campaign, store), self._site, judge)
        return plan if plan.options else None

    def _after_stop(self, pursuit: Pursuit, offers: Sequence[Offer], judge: Judge, now_ms: int) -> list[Try]:
        if all(offer.decision == "withheld" for offer in offers):
            return self.next_of(pursuit, judge, now_ms)
        return self.next_of(msgspec.structs.replace(pursuit, stores=[], admitted=offers[0].store), judge, now_ms)

    def take_outgoing(self) -> tuple[list[Pursuit], int]:
        """For the partitions of the stores that are next; and how many found the queue full since the last look."""
        taken = self._outgoing, self._refused
        self._outgoing, self._refused = [], 0
        return taken

    # --- the queue ---------------------------------------------------------------------------------------------------

    def again(self, busy: set[str], judge: Judge, now_ms: int) -> list[Try]:
        """Ask those who wait: of each store as many as pacing lets through, a few at once."""
        tries: list[Try] = []
        for store_id in self.waiting.due(now_ms, busy):
            found = self._again(self._site.store[store_id], judge, now_ms)
            tries += found
            self.waiting.asked(store_id, now_ms, more=len(found) >= AT_ONCE)
        return tries

    def _again(self, store: Store, judge: Judge, now_ms: int) -> list[Try]:
        tries: list[Try] = []
        full: set[str] = set()
        for waiter in self.waiting.turn(store.id, lambda campaign: self._site.campaign[campaign].priority):
            over = now_ms >= waiter.until_ms
            if waiter.away and not over:
                continue
            # Who is inside already makes the store no fuller, so she stands in nobody's way.
            if not over and (waiter.crossing.role in full or len(tries) >= AT_ONCE):
                continue
            plan = self._plan_again(waiter, self._placement(self._site.campaign[waiter.campaign], store), judge, now_ms)
            if waiter.away or not plan.options:
                self.waiting.leave(waiter)
            elif over:
                seconds = (now_ms - waiter.since_ms) // 1000
                last = plan.options[0]._replace(withheld=("pacing", f"there was no room within {seconds} s"), claims=[])
                tries.append(Try(plan._replace(options=[last]), waiter=waiter, over=True))
            elif plan.options[0].withheld is not None and plan.options[0].withheld[0] == "pacing":
                full.add(waiter.crossing.role)
            else:
                waiter.asked += 1
                tries.append(Try(plan, waiter=waiter))
        return tries

    @staticmethod
    def _plan_again(waiter: Waiter, placement: Placement, judge: Judge, now_ms: int) -> Plan:
        """She is as fresh as now: that she is still there is what counts, not when she came."""
        now, first = instant(now_ms), waiter.crossing
        crossing = msgspec.structs.replace(first, id=f"{first.id}{FOLLOWS}w{waiter.asked}", time=now, logged=now)
        waited_s = (now_ms - waiter.since_ms) // 1000
        said = {
            "crossing": first.id,
            "waited_s": waited_s,
            "waited_for": {"offer": waiter.offer, "reason": waiter.reason},
        }
        return judge(placement, crossing, waiter.facts, Beside(said, f"waited {waited_s} s ({waiter.reason})"))

    def _after_wait(self, tried: Try, waiter: Waiter, offers: Sequence[Offer]) -> Sequence[Offer]:
        """Whatever another question says is the last word; where there was no room after all, she goes on waiting."""
        if not tried.over and offers[0].reason.startswith(PACING):
            return ()
        self.waiting.leave(waiter)
        return offers

    def _supersede(self, offer: Offer) -> None:
        """Whoever has got this one waits no more for it, nor for what it excludes."""
        campaigns = self._site.campaign
        word = campaigns[offer.campaign].exclusive

        def is_had(waiter: Waiter) -> bool:
            excluded = word is not None and campaigns[waiter.campaign].exclusive == word
            return excluded or waiter.campaign == offer.campaign

        self.waiting.end(offer.device, is_had)


def stopped_by_pacing(plan: Plan, offers: Sequence[Offer]) -> tuple[Option, Offer] | None:
    """The campaign that goes on after a trigger that made no offer: the first that asks for it and that pacing stopped."""
    if all(option.placement.terms.when_full is None for option in plan.options):
        return None
    if any(offer.decision != "withheld" for offer in offers):
        return None
    for option, offer in zip(plan.options, offers, strict=True):
        if option.placement.terms.when_full is not None and offer.reason.startswith(PACING):
            return option, offer
    return None


def would_go_on(plan: Plan, option: Option, reason: str, pursuing: Pursuing) -> Pursuit:
    """The way of somebody whom a campaign would not let go; changes nothing."""
    crossing, campaign, when = plan.crossing, option.placement.campaign, option.placement.terms.when_full
    stores: list[str] = []
    if when is not None and when.redirect_m is not None:
        stores = pursuing.reach(campaign).instead(crossing, when.redirect_m)
    waits = when is not None and when.wait_s is not None and pursuing.tells_exits(crossing)
    if pursuing.waiting.holds(crossing.store or "", crossing.device, campaign.id):
        stores, waits = [], True  # as she does already
    return Pursuit(crossing, plan.world.facts, campaign.id, "", reason, stores, waits=waits)


def plan_there(pursuit: Pursuit, placement: Placement, site: Site, judge: Judge) -> Plan:
    """How somebody who was sent on is judged at another store."""
    first, store = pursuit.crossing, placement.store
    home = site.store.get(first.store or "")
    said = {
        "crossing": first.id,
        "redirected_from": redirected_from(first, home, store, pursuit.offer, pursuit.reason),
    }
    because = f"redirected from {home.name if home is not None else first.store} ({pursuit.reason})"
    crossing = as_there(first, store.id, pursuit.tried)
    return judge(placement, crossing, pursuit.facts.at(store.id), Beside(said, because))


def _until_ms(placement: Placement, wait_s: float | None, now_ms: int) -> int:
    until_ms = now_ms + round((wait_s or 0) * 1000)
    ends_ms = placement.terms.ends_ms
    return until_ms if ends_ms is None else min(until_ms, ends_ms)


def _by_device(crossings: Sequence[Crossing]) -> dict[str, list[tuple[int, Crossing]]]:
    """Crossings with their places, by whose they are: an entry may have thousands."""
    found: dict[str, list[tuple[int, Crossing]]] = {}
    for place, crossing in enumerate(crossings):
        found.setdefault(crossing.device, []).append((place, crossing))
    return found


def _has_left(tried: Try, by_device: dict[str, list[tuple[int, Crossing]]]) -> bool:
    """Whether the same entry says that she has left, or come in by herself, after she triggered this."""
    trigger = tried.plan.crossing
    return any(place > tried.place and _ends_waiting(later, trigger) for place, later in by_device[trigger.device])


def _ends_waiting(later: Crossing, trigger: Crossing) -> bool:
    """Whether this crossing of the same entry says that she has left, or come in by herself."""
    if (later.device, later.store) != (trigger.device, trigger.store):
        return False
    if later.type == "exit" or later.reason != "observed":
        return later.fence == trigger.fence
    return comes_in(later) and trigger.role != "store"
