"""The part of a partition that answers crossings: which campaigns one triggers, what they decide, and how that fared.

What is learned here is whether people take offers up: by the coupon, or by coming into the store while the offer is good.
It is kept by campaign, for the stores that this partition owns.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import msgspec

from geo_service import outputs
from geo_service.catalogue.documents import Campaign, Policy, Store
from geo_service.catalogue.hours import Hours
from geo_service.catalogue.site import Site
from geo_service.flow.aftermath import Aftermath, Over
from geo_service.flow.entries import Pursuit, Redeemed, Undelivered
from geo_service.flow.ledger import Ledger
from geo_service.flow.pacers import fingerprint
from geo_service.flow.pursuing import Beside, Judge, Pursuing, Try, plan_there
from geo_service.flow.waiting import Waiting
from geo_service.offers.campaigns import Placement, StoreRules, Terms, concerns
from geo_service.offers.choice import Acceptance
from geo_service.offers.coupons import REPLAY_SECRET
from geo_service.offers.decide import Decisions, Paced, Plan, World, plan, settle
from geo_service.offers.facts import Facts
from sensors.instants import instant, millis

Occupancies = Callable[[str, int], outputs.Occupancy | None]
"""How full a store is now; None where nothing measures it."""
Pace = Callable[[Placement, outputs.Crossing, int], Paced]
_OUTCOME_MS = 86_400_000
"""An offer that was not taken up after a day, or when it expires, counts as declined."""
_REPEATS_MS = 86_400_000


class Asked(NamedTuple):
    """A crossing that waits for its decision, and what is known of the person."""

    crossing: outputs.Crossing
    facts: Facts | None
    """None: no campaign could speak when it happened, so nobody looked."""


class _Open(msgspec.Struct, array_like=True):
    """An offer that somebody may yet take up. Of the person only a fingerprint is kept, and that for a day."""

    until_ms: int
    campaign: str
    visitor: str
    """Of the device and the store."""


class Offering:
    """Offers of the stores that one partition owns. `site` belongs to the partition and is only read."""

    def __init__(self, site: Site, ledger: Ledger, secret: bytes | None = REPLAY_SECRET) -> None:
        self.pace: Pace | None = None
        """The pacing question; None: a store that is full or blind takes nobody."""
        self.pace_looking: Pace | None = None
        """The same for a preview: leaves no trace."""
        self.acceptance: dict[str, Acceptance] = {}
        self._site = site
        self._ledger = ledger
        self._secret = secret
        self.pursuing = Pursuing(site, self.placement)
        """What becomes of those whom pacing stopped."""
        self._asked: list[Asked] = []
        self._pursued: list[Pursuit] = []
        self._terms: dict[str, Terms] = {}
        self._rules: dict[str, StoreRules] = {}
        self._placements: dict[tuple[str, str, str], list[Placement]] = {}
        self._heeded: dict[tuple[str, str, str], bool] = {}
        self._open: dict[str, _Open] = {}
        self._visitors: dict[str, dict[str, None]] = {}
        self._due: list[tuple[int, str]] = []
        self._redeemed: dict[str, int] = {}
        self._aftermath = Aftermath()

    # --- the site ----------------------------------------------------------------------------------------------------

    def changed(self, document: object) -> None:
        """A store, campaign, policy or product is new, changed or gone (None): look them all up anew at the next trigger.

        Raises:
            InvalidInputError, ValueError: a campaign's audience, benefit or hours, or a policy's, cannot be read.
        """
        self._terms.clear()
        self._rules.clear()
        self._placements.clear()
        self._heeded.clear()
        if isinstance(document, Campaign):
            Terms(document, self._site.product)
        if isinstance(document, Campaign):
            Hours(document.hours or {}, "UTC")
        elif isinstance(document, Policy):
            Hours(document.quiet or {}, "UTC")
        self.pursuing.changed()

    def placements(self, role: str, type_: str, store: Store) -> list[Placement]:
        """The campaigns that such a crossing could make speak in a store."""
        key = (role, type_, store.id)
        found = self._placements.get(key)
        if found is None:
            found = self._placements[key] = [
                self.placement(campaign, store)
                for campaign in self._site.campaign.values()
                if (campaign.trigger.role, campaign.trigger.type) == (role, type_) and concerns(campaign, store)
            ]
        return found

    def placement(self, campaign: Campaign, store: Store) -> Placement:
        """One campaign in one store."""
        terms = self._terms.get(campaign.id)
        if terms is None or terms.campaign is not campaign:
            terms = self._terms[campaign.id] = Terms(campaign, self._site.product)
        rules = self._rules.get(store.id)
        if rules is None:
            rules = self._rules[store.id] = StoreRules(store, self._site.policy.values())
        return Placement(terms, rules)

    def triggered(self, crossing: outputs.Crossing, facts: Facts) -> list[Placement]:
        """The campaigns that this crossing could make speak."""
        store = self._site.store.get(crossing.store or "")
        if store is None:
            return []
        waiting = facts.order in {"ready", "became_ready"} and crossing.type == "enter"
        usual = [] if facts.order == "became_ready" else self.placements(crossing.role, crossing.type, store)
        return [*usual, *self.placements(crossing.role, "order_ready", store)] if waiting else usual

    def is_heeded(self, crossing: outputs.Crossing) -> bool:
        """Whether anything could be made of such a crossing, in whichever partition its store is: whose it is matters then."""
        key = (crossing.role, crossing.type, crossing.store or "")
        found = self._heeded.get(key)
        if found is None:
            store = self._site.store.get(crossing.store or "")
            found = self._heeded[key] = store is not None and (
                self.pursuing.has_queue(store.id)
                or any(_answers(each, crossing) and concerns(each, store) for each in self._site.campaign.values())
            )
        return found

    # --- decisions ---------------------------------------------------------------------------------------------------

    def ask(self, crossing: outputs.Crossing, facts: Facts | None) -> None:
        """Have a crossing answered by the next `answer`."""
        self._asked.append(Asked(crossing, facts))

    def pursue(self, pursuit: Pursuit) -> None:
        """Have somebody who was sent on answered by the next `answer`."""
        self._pursued.append(pursuit)

    def next_due_ms(self) -> int | None:
        """When somebody who waits is next asked."""
        return self.pursuing.waiting.next_due_ms()

    def answer(self, occupancies: Occupancies, now_ms: int) -> Decisions:
        """What the crossings of this entry lead to: one question to the ledger for all of them, and one for each next step
        of those whom pacing stopped.
        """
        asked, self._asked = self._asked, []
        calm = self.pursuing.waiting.is_calm(now_ms)
        if not asked and not self._pursued and (not self._due or self._due[0][0] > now_ms) and calm:
            return Decisions([], [])
        self._give_up(now_ms)
        decisions = Decisions([], [])
        judge, tries = self._judge(occupancies, now_ms), self._tries(asked, occupancies, now_ms)
        while tries:
            settled = settle([each.plan for each in tries], self._ledger, now_ms=now_ms)
            crossings = [crossing for crossing, _ in asked]
            said, tries = self.pursuing.follow(tries, settled.offers, crossings, judge, now_ms)
            decisions.offers.extend(said)
            decisions.to_commit.extend(settled.to_commit)
        for offer in decisions.offers:
            if offer.decision == "sent":
                self._await(offer, now_ms)
        return decisions

    def _tries(self, asked: Sequence[Asked], occupancies: Occupancies, now_ms: int) -> list[Try]:
        """What is to be decided first: who waits, then who has come, then who was sent on."""
        tries, judge = [], self._judge(occupancies, now_ms)
        if self.pursuing.waiting:
            for crossing, facts in asked:
                self.pursuing.waiting.heard(crossing, facts)
            tries += self.pursuing.again({crossing.store or "" for crossing, _ in asked}, judge, now_ms)
        for place, (crossing, facts) in enumerate(asked):
            if crossing.reason != "observed":
                continue
            self._arrived(crossing, now_ms)
            if facts is not None and (placements := self.triggered(crossing, facts)):
                occupancy = occupancies(crossing.store or "", now_ms)
                tries.append(Try(plan(crossing, self._world(placements, facts, occupancy), now_ms), place))
        pursued, self._pursued = self._pursued, []
        for pursuit in pursued:
            tries += self.pursuing.next_of(pursuit, judge, now_ms)
        return tries

    def _judge(self, occupancies: Occupancies, now_ms: int, pace: Pace | None = None) -> Judge:
        """How one campaign is judged in one store; with `pace`, by that."""

        def judge(placement: Placement, crossing: outputs.Crossing, facts: Facts, beside: Beside) -> Plan:
            world = self._world([placement], facts, occupancies(placement.store.id, now_ms))
            world = world._replace(beside=beside.evidence, because=beside.because, pace=pace or self.pace)
            return plan(crossing, world, now_ms)

        return judge

    def preview(
        self,
        people: Sequence[tuple[outputs.Crossing, Facts]],
        campaign: Campaign,
        occupancies: Occupancies,
        now_ms: int,
    ) -> list[Plan]:
        """Plans as if these crossings came now, this campaign among those that they trigger even while it is a draft.

        Changes nothing; the ledger is not asked.
        """
        plans = []
        placements = self._previewed(campaign, [crossing.store or "" for crossing, _ in people])
        for (crossing, facts), meant in zip(people, placements, strict=True):
            others = [each for each in self.triggered(crossing, facts) if each.campaign.id != campaign.id]
            world = self._world([*others, meant], facts, occupancies(meant.store.id, now_ms))
            plans.append(plan(crossing, world._replace(pace=self.pace_looking), now_ms))
        return plans

    def preview_there(
        self, pursuits: Sequence[Pursuit], campaign: Campaign, occupancies: Occupancies, now_ms: int
    ) -> list[Plan]:
        """How those who are sent on would be judged at the store that is next, which must be one of these."""
        judge = self._judge(occupancies, now_ms, self.pace_looking)
        placements = self._previewed(campaign, [pursuit.stores[0] for pursuit in pursuits])
        return [plan_there(*each, self._site, judge) for each in zip(pursuits, placements, strict=True)]

    def _previewed(self, campaign: Campaign, stores: Sequence[str]) -> list[Placement]:
        """The campaign in each of these stores, active if it is a draft; nothing of that is remembered."""
        meant = msgspec.structs.replace(campaign, state="active" if campaign.state == "draft" else campaign.state)
        placements = [self.placement(meant, self._site.store[store]) for store in stores]
        self._terms.pop(campaign.id, None)
        return placements

    def _world(self, placements: list[Placement], facts: Facts, occupancy: outputs.Occupancy | None) -> World:
        return World(placements, self._site.stock, facts, occupancy, self.acceptance, self.pace, self._secret)

    # --- how offers fare ---------------------------------------------------------------------------------------------

    def _await(self, offer: outputs.Offer, now_ms: int) -> None:
        expires_ms = millis(offer.expires) if offer.expires is not None else now_ms
        visitor = fingerprint(offer.device, offer.store)
        until_ms = min(expires_ms, now_ms + _OUTCOME_MS)
        self._open[offer.id] = _Open(until_ms, offer.campaign, visitor)
        self._visitors.setdefault(visitor, {})[offer.id] = None
        heapq.heappush(self._due, (until_ms, offer.id))

    def _arrived(self, crossing: outputs.Crossing, now_ms: int) -> None:
        """Somebody came in: what was offered to them while they were outside was taken up."""
        if crossing.role != "store" or crossing.type != "enter":
            return
        for offer_id in list(self._visitors.get(fingerprint(crossing.device, crossing.store or ""), ())):
            self._close(offer_id, now_ms, accepted=True)

    def redeemed(self, entry: Redeemed, now_ms: int) -> outputs.Redemption | None:
        """Say what became of a coupon; None where it was said before."""
        self._give_up(now_ms)
        # In the order in which they came: a look at the oldest is enough, however many a day brings.
        while self._redeemed and now_ms - self._redeemed[oldest := next(iter(self._redeemed))] > _REPEATS_MS:
            del self._redeemed[oldest]
        if entry.id in self._redeemed:
            return None
        self._redeemed[entry.id] = now_ms
        if entry.change == "redeemed" and entry.offer in self._open:
            self._close(entry.offer, now_ms, accepted=True)
            self._aftermath.take(entry.offer, now_ms)  # whatever the broker says, it has reached somebody
        return outputs.Redemption(
            id=entry.offer,
            campaign=entry.campaign,
            device=entry.device,
            store=entry.at,
            change=entry.change,
            previous=entry.previous,
            channel=entry.channel,
            time=instant(entry.time_ms),
            logged=instant(now_ms),
            amount=entry.amount,
        )

    def _give_up(self, now_ms: int) -> None:
        while self._due and self._due[0][0] <= now_ms:
            _, offer_id = heapq.heappop(self._due)
            if offer_id in self._open:
                self._close(offer_id, now_ms, accepted=False)

    def undelivered(self, entry: Undelivered, now_ms: int) -> list[str]:
        """Offers that never reached their shoppers are neither taken up nor declined. Whom now no offer is known to have
        reached is not waited for any more: returns their fingerprints. What the ledger counted stays counted.
        """
        self._give_up(now_ms)
        visitors = []
        for offer_id in entry.offers:
            visitor = self._unmade(offer_id, now_ms)
            if visitor is not None and visitor not in self._visitors and not self._aftermath.knows(visitor):
                visitors.append(visitor)
        return visitors

    def _unmade(self, offer_id: str, now_ms: int) -> str | None:
        open_ = self._open.get(offer_id)
        if open_ is not None:
            self._take_off(offer_id)
            return open_.visitor
        over = self._aftermath.take(offer_id, now_ms)
        if over is None:
            return None
        fared = self.acceptance[over.campaign]
        fared.accepted -= over.accepted
        fared.declined -= not over.accepted
        return over.visitor

    def _take_off(self, offer_id: str) -> _Open:
        open_ = self._open.pop(offer_id)
        others = self._visitors[open_.visitor]
        del others[offer_id]
        if not others:
            del self._visitors[open_.visitor]
        return open_

    def _close(self, offer_id: str, now_ms: int, *, accepted: bool) -> None:
        open_ = self._take_off(offer_id)
        self._aftermath.add(offer_id, Over(now_ms, open_.campaign, open_.visitor, accepted))
        fared = self.acceptance.setdefault(open_.campaign, Acceptance())
        if accepted:
            fared.accepted += 1
        else:
            fared.declined += 1

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything but the site."""
        kept = {"acceptance": self.acceptance, "open": self._open, "redeemed": self._redeemed}
        return kept | {"over": self._aftermath.kept, "waiting": self.pursuing.waiting.dump()}

    @classmethod
    def load(cls, dumped: Mapping[str, Any], site: Site, ledger: Ledger, secret: bytes | None) -> Self:
        """What `dump` wrote; {} from before there was anything to keep."""
        offering = cls(site, ledger, secret)
        offering.acceptance = msgspec.convert(dumped.get("acceptance", {}), dict[str, Acceptance])
        offering._open = msgspec.convert(dumped.get("open", {}), dict[str, _Open])
        offering._redeemed = dict(dumped.get("redeemed", {}))
        offering.pursuing.waiting = Waiting.load(dumped.get("waiting", {}))
        offering._aftermath = Aftermath(msgspec.convert(dumped.get("over", {}), dict[str, Over]))
        for offer_id, open_ in offering._open.items():
            offering._visitors.setdefault(open_.visitor, {})[offer_id] = None
            offering._due.append((open_.until_ms, offer_id))
        heapq.heapify(offering._due)
        return offering


def _answers(campaign: Campaign, crossing: outputs.Crossing) -> bool:
    """Whether this is a crossing of the role and type that the campaign waits for."""
    trigger = campaign.trigger
    of_type = trigger.type == crossing.type or (trigger.type == "order_ready" and crossing.type == "enter")
    return trigger.role == crossing.role and of_type
