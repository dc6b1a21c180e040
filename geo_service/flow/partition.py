"""One partition: `advance(entry) → outputs`, the pure heart of the service.

A ping's way: `devices.py` (who is where) → crossings → `stores.py` of the partition that owns the store (how full) →
`offering.py` (what to say). A crossing of a store in another partition is handed over through that partition's log, and
counted there once: handovers of one partition come in order, so whatever is not newer was there before.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, Self

import msgspec

from geo_service import outputs
from geo_service.catalogue.hours import Hours
from geo_service.catalogue.site import Site
from geo_service.errors import InvalidInputError
from geo_service.flow import checkpoint
from geo_service.flow.changing import REFUSALS, ReadChange, put, read_changes
from geo_service.flow.devices import Assumed, Devices, LatePing
from geo_service.flow.entries import (
    Behaviour,
    Body,
    Changes,
    Consent,
    Entry,
    EntryId,
    Forget,
    Handover,
    OrderStanding,
    Override,
    Pings,
    Readings,
    Recount,
    Redeemed,
    Refusals,
    Tick,
    Traits,
    Undelivered,
)
from geo_service.flow.handing import Handing
from geo_service.flow.ledger import Ledger
from geo_service.flow.offering import Offering
from geo_service.flow.pacers import Pacers
from geo_service.flow.profiles import Profiles
from geo_service.flow.stores import Stores
from geo_service.flow.telling import crossings_of, visit_of
from geo_service.geofences.events import Event
from geo_service.geofences.visits import Closed, Visit
from geo_service.offers.coupons import REPLAY_SECRET
from geo_service.offers.facts import Facts
from sensors.instants import instant


class Rules(NamedTuple):
    """What the whole service agrees on; a replay needs the same."""

    presence: Literal["strict", "steady"] = "steady"
    assumed: Assumed = frozenset(("location", "offers"))
    secret: bytes | None = REPLAY_SECRET
    """What coupon codes are made with; None: they are made at delivery, and nothing here ever holds one."""


class Step(NamedTuple):
    """What one entry came to."""

    outputs: list[outputs.AnyOutput]
    handovers: list[tuple[int, Body]]
    """Entries for other partitions, to append before this step is committed."""
    to_commit: list[str]
    """Ledger keys to commit after this step is."""
    counts: dict[str, int]
    """What happened to pings, by fate, for the operator's counters."""
    values: dict[str, bytes | None]
    """Current values to write with the outputs, beside those that are outputs themselves; None: it is gone."""


class Partition:
    """State of one partition and the rules that move it."""

    def __init__(self, number: int, partitions: int, ledger: Ledger, rules: Rules) -> None:
        self.number = number
        self._rules = rules
        self.site = Site()
        self._site_dumped: bytes | None = None
        """As a checkpoint has it, until it changes: of a large site it is most of a checkpoint."""
        self.devices = Devices(rules.presence, rules.assumed)
        self.stores = Stores(self.site)
        self.profiles = Profiles()
        self._take_on(Offering(self.site, ledger, rules.secret), Pacers(self.site), Handing(number, partitions))
        self._entry = EntryId(0, 0)
        self._step = Step([], [], [], {}, {})

    def _take_on(self, offering: Offering, pacers: Pacers, handing: Handing) -> None:
        self.offering, self.pacers, self._handing = offering, pacers, handing
        offering.pace, offering.pace_looking = pacers.pace, pacers.look
        offering.pursuing.owns = handing.owns

    # --- the fold ----------------------------------------------------------------------------------------------------

    def advance(self, entry: Entry) -> Step:
        """Fold one entry. Deterministic: the same entries in the same order give the same steps."""
        self._entry = entry.id
        self._step = Step([], [], [], {}, {})
        now_ms = entry.id.ms
        body = entry.body
        if isinstance(body, Pings):
            self._pings(body, now_ms)
        elif isinstance(body, Tick):
            self.profiles.sweep(now_ms)
            self._events(self.devices.presence.tick(now_ms), now_ms)
            self._say(self.stores.tick(now_ms))
        elif isinstance(body, Readings):
            self._say(self.stores.readings(body.readings, now_ms))
        else:
            self._rare(body, now_ms)
        # While an entry is answered stores are as full as they are, and many crossings ask of one.
        decisions = self.offering.answer(cache(self._occupancy), now_ms)
        self._say(decisions.offers)
        self._step.to_commit.extend(decisions.to_commit)
        self.pacers.decided(decisions.offers, now_ms)
        self._hand_over()
        self._step.values.update(self.stores.values(now_ms))
        self._step.values.update(self.pacers.values(now_ms))
        return self._step

    def _rare(self, body: Body, now_ms: int) -> None:
        match body:
            case Handover():
                self._handover(body)
            case Recount() | Override():
                self._by_staff(body, now_ms)
            case Changes():
                for read in read_changes(body.changes):
                    self._change(read, now_ms)
            case Consent() | Forget():
                self._person(body, now_ms)
            case Redeemed():
                said = self.offering.redeemed(body, now_ms)
                self._say([] if said is None else [said])
            case Undelivered():
                self.pacers.undelivered(body.store, self.offering.undelivered(body, now_ms), now_ms)
            case Behaviour() | Traits() | OrderStanding() if self.devices.agrees(body.device, "offers"):
                self._learn(body, now_ms)
            case Refusals():
                now = instant(now_ms)
                self._say([outputs.Rejected(topic=r.topic, reason=r.reason, time=now) for r in body.refusals])
                self._say(self.stores.refused(body.refusals, now_ms))

    @property
    def now_ms(self) -> int:
        """The log's time as of the last entry."""
        return self._entry.ms

    def _by_staff(self, body: Recount | Override, now_ms: int) -> None:
        """What somebody who works in a store says of it."""
        if body.store not in self.site.store:
            what = "pacing" if isinstance(body, Override) else "occupancy/recount"
            topic = f"http:/v1/stores/{body.store}/{what}"
            self._say([outputs.Rejected(topic=topic, reason="there is no such store", time=instant(now_ms))])
        elif isinstance(body, Override):
            self.pacers.override(body, now_ms)
        else:
            if body.zone is None:
                self.pacers.recounted(body.store, body.count, now_ms)
            self._say(self.stores.recount(body, now_ms))

    def next_due_ms(self) -> int | None:
        """When a tick would next do something; None: never, as things stand."""
        dues = (self.devices.presence.next_due_ms(), self.stores.next_due_ms(), self.offering.next_due_ms())
        return min((due for due in dues if due is not None), default=None)

    def _say(self, said: Sequence[outputs.AnyOutput]) -> None:
        for output in said:
            if isinstance(output, outputs.Alert):
                alert_id = f"{self.number}-{self._entry}-{len(self._step.outputs)}"
                self._step.outputs.append(msgspec.structs.replace(output, id=alert_id))
            else:
                self._step.outputs.append(output)
            if isinstance(output, outputs.Occupancy) and output.zone is None:
                self._pace_from(output)

    def _occupancy(self, store_id: str, now_ms: int) -> outputs.Occupancy | None:
        """How full a store is now, though it may be said only within the second; pacing starts from the same."""
        occupancy = self.stores.occupancy(store_id, now_ms)
        if occupancy is not None:
            self._pace_from(occupancy)
        return occupancy

    def _pace_from(self, occupancy: outputs.Occupancy) -> None:
        standing = self.stores.standing(occupancy.store, self._entry.ms)
        self.pacers.occupied(occupancy.store, *standing[:2], occupancy.status, standing.flows, self._entry.ms)

    # --- devices -----------------------------------------------------------------------------------------------------

    def _pings(self, pings: Pings, now_ms: int) -> None:
        seen = self.devices.pings(pings.batch, now_ms)
        self._step.counts.update(seen.counts)
        now = instant(now_ms)
        self._say(
            [
                outputs.Rejected(topic=f"geo/v1/ping/{device}", reason="time: is over 24 hours old", time=now)
                for device in seen.too_old
            ]
        )
        self._events(seen.events, now_ms, seen.late)

    def _events(self, events: list[Event], now_ms: int, late: Sequence[LatePing] = ()) -> None:
        """Crossings out, visits out, and each crossing on to the partition of its store."""
        if not events and not late:
            return
        prefix = f"{self.number}-{self._entry}-"
        crossings = crossings_of(events, instant(now_ms), prefix, len(self._step.outputs))
        self._step.outputs.extend(crossings)
        self._visits(self.devices.visits_of(events, late, now_ms))
        for crossing in crossings:
            if crossing.store is not None and crossing.reason == "observed":
                heeded = self.offering.is_heeded(crossing)
                self._ask(crossing, self.facts(crossing.device, crossing.store, now_ms) if heeded else None)
            elif crossing.store is not None and self.offering.pursuing.has_queue(crossing.store):
                self._ask(crossing, Facts())

    def facts(self, device: str, store: str, now_ms: int) -> Facts:
        """What is known of a person, as a store sees them."""
        agrees = self.devices.agrees(device, "offers")
        elsewhere = self.offering.pursuing.elsewhere(store)
        return self.profiles.facts(device, store, agrees=agrees, now_ms=now_ms, elsewhere=elsewhere)

    def _ask(self, crossing: outputs.Crossing, facts: Facts | None) -> None:
        """Have a crossing answered where its store is decided about."""
        if self._handing.owns(crossing.store or ""):
            self._asked(crossing, facts)
        else:
            self._handing.crossing(crossing, facts)

    def _asked(self, crossing: outputs.Crossing, facts: Facts | None) -> None:
        """A crossing of one of these stores; of one that nobody saw, only that the shopper is not there any more."""
        if crossing.reason == "observed":
            self.pacers.crossed(crossing, self._entry.ms)
        self.offering.ask(crossing, facts)

    def _person(self, body: Consent | Forget, now_ms: int) -> None:
        if isinstance(body, Forget):
            self.profiles.forget(body.device)
            self._events(self.devices.forget(body.device, now_ms), now_ms)
            self.offering.pursuing.waiting.end(body.device)
            return
        self._events(self.devices.consent(body, now_ms), now_ms)
        if not self.devices.agrees(body.device, "offers"):
            self.profiles.forget(body.device)
            self._wait_no_longer(body.device, now_ms)

    def _wait_no_longer(self, device: str, now_ms: int) -> None:
        """Have the stores hear that somebody is not to be invited, though she is still there."""
        fences = [self.site.fence[fence] for fence in self.devices.presence.fences_of(device)]
        queues = [fence.id for fence in fences if fence.store and self.offering.pursuing.has_queue(fence.store)]
        present = self.devices.presence.present(queues, device) if queues else []
        for crossing in crossings_of(present, instant(now_ms), f"{self.number}-{self._entry}-gone", 0):
            self._ask(msgspec.structs.replace(crossing, type="exit", reason="forgotten"), Facts())

    def _learn(self, body: Behaviour | Traits | OrderStanding, now_ms: int) -> None:
        """Something about a person who agrees to offers."""
        match body:
            case Behaviour():
                self.profiles.behaved(body, self.site.product, now_ms)
            case Traits():
                self.profiles.told(body, now_ms)
            case OrderStanding() if self.profiles.ordered(body, now_ms):
                facts = self.facts(body.device, body.store, now_ms)
                fences = [fence.id for fence in self.site.fence.values() if fence.store == body.store]
                present = self.devices.presence.present(fences, body.device)
                # No crossings that are told: they trigger what waits for an order, where the shopper already is.
                for crossing in crossings_of(present, instant(now_ms), f"{self.number}-{self._entry}-ready", 0):
                    self._ask(crossing, msgspec.structs.replace(facts, order="became_ready"))

    def _hand_over(self) -> None:
        pursuits, refused = self.offering.pursuing.take_outgoing()
        if refused:
            self._step.counts["waiting_refused"] = refused
        self._step.handovers.extend(self._handing.take(self._entry, pursuits))

    def _visits(self, visits: list[tuple[Visit, Closed]]) -> None:
        """Visits out; one that is lengthened goes out again under the id that it had."""
        for visit, closed in visits:
            if not closed.counted and visit.confirmed:
                closed.counted = True
                if self.devices.agrees(visit.device, "offers"):
                    self.profiles.visited([visit])
            closed.id = closed.id or f"{self.number}-{self._entry}-{len(self._step.outputs)}"
            self._step.outputs.append(visit_of(closed.id, visit))

    # --- stores ------------------------------------------------------------------------------------------------------

    def _handover(self, handover: Handover) -> None:
        if not self._handing.is_new(handover):
            return
        unknown: list[Facts | None] = [Facts()] * len(handover.crossings)
        for crossing, facts in zip(handover.crossings, handover.facts or unknown, strict=True):
            self._asked(crossing, facts)
        for pursuit in handover.pursuits:
            self.offering.pursue(pursuit)

    # --- the site ----------------------------------------------------------------------------------------------------

    def _change(self, read: ReadChange, now_ms: int) -> None:
        """Apply one document; one that this code cannot use is said to be rejected and leaves what was there."""
        self._site_dumped = None
        change = read.change
        documents = self.site.of(change.kind)
        old = documents.get(change.id)
        try:
            if isinstance(read.document, Exception):
                raise read.document
            put(documents, change.id, read.document)
            self._changed(read, old, now_ms)
        except REFUSALS as error:
            put(documents, change.id, old)
            self._say([outputs.Rejected(topic=f"{change.kind}/{change.id}", reason=str(error), time=instant(now_ms))])

    def _changed(self, read: ReadChange, old: Any, now_ms: int) -> None:
        change, new, outline = read
        match change.kind:
            case "fence":
                if new is not None:
                    self._events(self.devices.put_fence(new, self.site.store, now_ms, outline), now_ms)
                elif old is not None:
                    self._events(self.devices.presence.remove_fence(change.id, now_ms), now_ms)
                self._say(self.stores.fence_changed(old, new, now_ms))
                self.offering.pursuing.changed()
            case "store":
                self._store_changed(change.id, old, new, now_ms)
            case "sensor":
                self._say(self.stores.sensor_changed(self._owned(old), self._owned(new), now_ms))
            case "campaign" | "policy" | "product":
                self.profiles.products_changed()
                self.offering.changed(new)

    def _owned(self, sensor: Any) -> Any:
        """The sensor, if its store is this partition's."""
        is_mine = sensor is not None and self._handing.owns(sensor.store)
        return sensor if is_mine else None

    def _store_changed(self, store_id: str, old: Any, new: Any, now_ms: int) -> None:
        if new is not None:
            Hours(new.hours or {}, new.timezone)  # refused as a whole, before anybody has taken half of it
        self.offering.changed(new)
        if self._handing.owns(store_id):
            self.pacers.store_changed(store_id, new, now_ms)
            self._say(self.stores.store_changed(store_id, new, now_ms))
        if old is not None and new is not None and old.timezone != new.timezone:
            for fence in [fence for fence in self.site.fence.values() if fence.store == store_id]:
                self._events(self.devices.put_fence(fence, self.site.store, now_ms), now_ms)

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Everything, so that `load` goes on as if nothing had happened."""
        if self._site_dumped is None:
            self._site_dumped = checkpoint.encode(self.site)
        return checkpoint.encode(
            {
                "version": checkpoint.VERSION,
                "now_ms": self._entry.ms,
                "rules": [self._rules.presence, sorted(self._rules.assumed)],
                "site": msgspec.Raw(self._site_dumped),
                "devices": self.devices.dump(),
                "stores": self.stores.dump(),
                "offering": self.offering.dump(),
                "profiles": self.profiles.dump(),
                "pacers": self.pacers.dump(),
                "handed": self._handing.dump(),
            }
        )

    @classmethod
    def load(cls, dumped: bytes, number: int, partitions: int, ledger: Ledger, rules: Rules) -> Self:
        """The partition that `dump` wrote.

        Raises:
            InvalidInputError: it was written under other rules or by another version.
        """
        state = checkpoint.decode(dumped)
        if state.rules != [rules.presence, sorted(rules.assumed)]:
            raise InvalidInputError(f"checkpoint was made under {state.rules}", field="presence, consent")
        partition = cls(number, partitions, ledger, rules)
        partition.site = state.site
        partition._entry = EntryId(state.now_ms, 0)
        fences = [partition.devices.zoned(fence, state.site.store) for fence in state.site.fence.values()]
        partition.devices = Devices.load(state.devices, rules.presence, rules.assumed, fences)
        partition.stores = Stores.load(state.stores, partition.site, state.now_ms)
        partition.profiles = Profiles.load(state.profiles)
        offering = Offering.load(state.offering, partition.site, ledger, rules.secret)
        handing = Handing.load(state.handed, number, partitions)
        partition._take_on(offering, Pacers.load(state.pacers, partition.site), handing)
        return partition
