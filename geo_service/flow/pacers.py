"""How many more may be invited to each store of a partition: `occupancy/pacing.py`, fed by the fold.

Whoever is waited for is a fingerprint of device and store, kept until the shopper comes or two hours have passed. An
invitation also takes a token of the ledger, of which each minute has as many as pacing admitted in it: so that several
crossings of one entry, or an entry that is folded again after a crash, cannot invite more than there is room for.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Self

import msgspec

from geo_service import outputs
from geo_service.catalogue.documents import Store
from geo_service.catalogue.site import Site
from geo_service.flow.entries import Override as OverrideEntry
from geo_service.flow.ledger import Claim
from geo_service.offers.campaigns import Placement
from geo_service.offers.decide import Paced
from occupancy.day import Flows
from occupancy.estimate import Status
from occupancy.pacing import MINUTE_MS, Pacer
from occupancy.pacing_words import Action, Commitment, Override, Verdict
from sensors.instants import instant

WALKING_M_S: Final = 1.2
DETOUR: Final = 1.3
"""A way on foot is longer than the crow's (a common circuity of urban streets; Boeing, *Environment and Planning B* 2019)."""
DECIDES_S: Final = 120.0
"""Until somebody who was invited sets out; what it really is, the pacer learns with the delays."""
USUAL_ETA_S: Final = 600.0
TOKEN_MS: Final = 7_200_000
VALUES_EVERY_MS: Final = 10_000
KEPT_OVERRIDES: Final = 50
_INSIDE: Final = frozenset(("store", "zone", "curbside"))


class Decided(msgspec.Struct, frozen=True):
    """What a manager decided about pacing."""

    action: Action
    by: str
    since: datetime
    until: datetime | None
    """null: until somebody says otherwise."""
    ceiling: int | None


class Ahead(msgspec.Struct, frozen=True):
    """People inside in so many minutes, should nobody else be invited."""

    minutes: int
    mean: float
    sigma: float


class Pacing(msgspec.Struct, frozen=True, kw_only=True):
    """How a store's pacing stands."""

    store: str
    time: datetime
    capacity: int
    admits: bool
    """Whether somebody ten minutes away would be invited now."""
    reason: str
    evidence: dict[str, Any]
    in_flight: int
    """Invitations whose shoppers may still come."""
    outlook: list[Ahead]
    target_minutes: float
    overshoot_minutes: float | None
    """Mean of the past days on which pacing mattered."""
    override: Decided | None
    """The one that holds."""
    overrides: list[Decided]
    """The last fifty, newest first."""


class Pacers:
    """A pacer for each store that this partition owns and something measures. `site` is only read."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._pacers: dict[str, Pacer] = {}
        self._flows: dict[str, Flows] = {}
        self._taken: dict[str, tuple[int, int]] = {}
        """By store the minute, and how many were admitted in it."""
        self._overrides: dict[str, list[Override]] = {}
        self._entered: set[str] = set()
        """Who came in with the entry that is being folded."""
        self._answered: tuple[tuple[str, str, int], Paced] | None = None
        """Store, crossing and now of the last question: the campaigns of a crossing ask it in turn, and get one answer."""
        self._shown_ms: dict[str, int] = {}
        self._changed: dict[str, None] = {}
        """Stores whose value is to be told."""
        self._due: list[tuple[int, str]] = []
        """A heap of when, as thousands of stores wait and every entry asks; what no longer holds is passed over."""

    # --- what the world says -----------------------------------------------------------------------------------------

    def occupied(
        self, store_id: str, people: float, variance: float, status: Status, flows: Flows, now_ms: int
    ) -> None:
        """The occupancy of the store as a whole; the flows tell who came and left since the last one."""
        pacer = self._pacer(store_id, now_ms)
        last = self._flows.get(store_id)
        if last is not None:
            came, left = (flows.came, flows.left) if flows.since_ms != last.since_ms else (
                flows.came - last.came, flows.left - last.left
            )  # fmt: skip
            if came > 0 or left > 0:
                pacer.counted(now_ms, max(came, 0.0), max(left, 0.0))
        self._flows[store_id] = flows
        if not pacer.stands_at(people, variance, status):
            pacer.occupied(now_ms, people, variance, status)
            self._tell_soon(store_id)

    def recounted(self, store_id: str, people: int, now_ms: int) -> None:
        """Somebody counted a store by eye; its occupancy is said next."""
        if store_id in self._pacers:
            self._pacers[store_id].recounted(now_ms, people)

    def crossed(self, crossing: outputs.Crossing, now_ms: int) -> None:
        """Somebody came into one of these stores, or left it."""
        pacer = self._pacers.get(crossing.store or "")
        if pacer is None or crossing.role != "store":
            return
        if crossing.type == "enter":
            visitor = fingerprint(crossing.device, crossing.store or "")
            self._entered.add(visitor)
            pacer.came(now_ms, visitor)
        elif crossing.type == "exit" and crossing.duration_s:
            pacer.visited(now_ms, now_ms - round(crossing.duration_s * 1000), crossing.duration_s / 60)

    def decided(self, offers: Iterable[outputs.Offer], now_ms: int) -> None:
        """What became of those who were admitted: the held out are not expected, but took their turn."""
        self._answered = None
        for offer in offers:
            eta_s = offer.evidence.get("pacing", {}).get("eta_s")
            pacer = self._pacers.get(offer.store)
            if offer.decision == "withheld" or pacer is None or eta_s is None:
                continue
            minute = now_ms // MINUTE_MS
            known = self._taken.get(offer.store, (minute, 0))
            self._taken[offer.store] = minute, (known[1] if known[0] == minute else 0) + 1
            visitor = fingerprint(offer.device, offer.store)
            if offer.decision == "sent" and visitor not in self._entered and not pacer.waits_for(visitor):
                pacer.sent(now_ms, visitor, eta_s)
                self._tell_soon(offer.store)
        self._entered.clear()

    def undelivered(self, store_id: str, visitors: Iterable[str], now_ms: int) -> None:
        """No invitation reached these (fingerprints): they are not waited for."""
        pacer = self._pacers.get(store_id)
        if pacer is None:
            return
        for visitor in visitors:
            if pacer.waits_for(visitor):
                pacer.undelivered(now_ms, visitor)
                self._tell_soon(store_id)

    def override(self, entry: OverrideEntry, now_ms: int) -> None:
        """A manager decides.

        Raises:
            ValueError: a ceiling without its number.
        """
        override = Override(entry.action, entry.by, now_ms, entry.until_ms, entry.ceiling)
        self._pacer(entry.store, now_ms).override(now_ms, override)
        kept = self._overrides.setdefault(entry.store, [])
        kept.insert(0, override)
        del kept[KEPT_OVERRIDES:]
        self._shown_ms.pop(entry.store, None)
        self._tell_soon(entry.store)

    def commit(self, store_id: str, commitments: list[Commitment], now_ms: int) -> None:
        """Everybody whom a store expects for another reason than an offer; replaces what was said before."""
        self._pacer(store_id, now_ms).commit(now_ms, commitments)

    def store_changed(self, store_id: str, store: Store | None, now_ms: int) -> None:
        """A store is new, changed, or gone (None)."""
        if store is None:
            for known in (self._pacers, self._flows, self._taken, self._overrides, self._shown_ms):
                known.pop(store_id, None)
            self._tell_soon(store_id)
        elif store_id in self._pacers:
            self._pacers[store_id].configure(
                now_ms,
                _capacity(store),
                store.timezone,
                target_minutes=store.pacing.overshoot_minutes,
                reset_hour=store.reset_hour,
            )
            self._tell_soon(store_id)

    def _pacer(self, store_id: str, now_ms: int) -> Pacer:
        pacer = self._pacers.get(store_id)
        if pacer is None:
            store = self._site.store[store_id]
            pacer = self._pacers[store_id] = Pacer(
                _capacity(store),
                timezone=store.timezone,
                target_minutes=store.pacing.overshoot_minutes,
                reset_hour=store.reset_hour,
            )
            pacer.advance(now_ms)
        return pacer

    # --- what it answers ---------------------------------------------------------------------------------------------

    def verdict(self, store_id: str, eta_s: float, now_ms: int) -> Verdict:
        """Whether one more may be invited to this store; it is for whoever invites to say so."""
        pacer = self._pacers.get(store_id)
        if pacer is None:
            return Verdict(True, "nothing measures how full this store is", None, 0)
        return pacer.verdict(now_ms, eta_s)

    def pace(self, placement: Placement, crossing: outputs.Crossing, now_ms: int) -> Paced:
        """The pacing question of `offers/decide.py`.

        Somebody who is inside already makes the store no fuller: only a manager's pause withholds an offer from her.
        """
        asked = (placement.store.id, crossing.id, now_ms)
        if self._answered is None or self._answered[0] != asked:
            self._answered = asked, self._pace(placement, crossing, now_ms, Pacer.verdict)
        return self._answered[1]

    def look(self, placement: Placement, crossing: outputs.Crossing, now_ms: int) -> Paced:
        """The same for a preview: leaves no trace."""
        return self._pace(placement, crossing, now_ms, Pacer.preview)

    def _pace(
        self, placement: Placement, crossing: outputs.Crossing, now_ms: int, ask: Callable[[Pacer, int, float], Verdict]
    ) -> Paced:
        store = placement.store
        pacer = self._pacers.get(store.id)
        if pacer is None:
            return Paced()
        if crossing.role in _INSIDE and crossing.type != "exit":
            override = pacer.overridden_at(now_ms)
            paused = override is not None and override.action == "pause"
            return Paced(f"paused by {override.by}" if paused and override is not None else None)
        eta_s = eta_of(crossing, store)
        verdict = ask(pacer, now_ms, eta_s)
        evidence: dict[str, Any] = {"verdict": verdict.reason, "eta_s": round(eta_s)}
        if verdict.evidence is None:
            return Paced(None if verdict.admit else verdict.reason, (), evidence)
        evidence |= verdict.evidence.as_dict()
        if not verdict.admit:
            return Paced(verdict.reason, (), evidence)
        minute = now_ms // MINUTE_MS
        known = self._taken.get(store.id, (minute, 0))
        taken = known[1] if known[0] == minute else 0
        limit = taken + max(verdict.tokens - pacer.in_flight, 1)
        return Paced(None, (Claim(f"pacing:{store.id}:{minute}", 1, limit, TOKEN_MS),), evidence)

    def values(self, now_ms: int) -> dict[str, bytes | None]:
        """Current values to write with this entry: of each store that something happened to, at most every ten seconds."""
        values: dict[str, bytes | None] = {}
        while self._due and self._due[0][0] <= now_ms:
            _, store_id = heapq.heappop(self._due)
            if store_id not in self._changed or now_ms < self._value_due_ms(store_id):
                continue
            del self._changed[store_id]
            pacer = self._pacers.get(store_id)
            if pacer is not None:
                self._shown_ms[store_id] = now_ms
            values[pacing_name(store_id)] = None if pacer is None else _encode(self._value(store_id, pacer, now_ms))
        return values

    def _tell_soon(self, store_id: str) -> None:
        due_ms = self._value_due_ms(store_id)
        if store_id not in self._changed or not due_ms:
            self._changed[store_id] = None
            heapq.heappush(self._due, (due_ms, store_id))

    def _value_due_ms(self, store_id: str) -> int:
        """When the store's value may be told again; one that has no pacer any more is told at once."""
        return self._shown_ms[store_id] + VALUES_EVERY_MS if store_id in self._shown_ms else 0

    def _value(self, store_id: str, pacer: Pacer, now_ms: int) -> Pacing:
        verdict = pacer.preview(now_ms, USUAL_ETA_S)
        evidence, override = verdict.evidence, pacer.overridden_at(now_ms)
        return Pacing(
            store=store_id,
            time=instant(now_ms),
            capacity=pacer.capacity,
            admits=verdict.admit,
            reason=verdict.reason,
            evidence={} if evidence is None else evidence.as_dict(),
            in_flight=pacer.in_flight,
            outlook=[Ahead(minutes, round(mean, 1), round(sigma, 1)) for minutes, mean, sigma in pacer.outlook(now_ms)],
            target_minutes=pacer.target.minutes,
            overshoot_minutes=None if pacer.target.past is None else round(pacer.target.past, 1),
            override=None if override is None else _decided(override),
            overrides=[_decided(each) for each in self._overrides.get(store_id, [])],
        )

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Everything but the site."""
        return {
            "pacers": {store: pacer.dump() for store, pacer in self._pacers.items()},
            "flows": self._flows,
            "taken": self._taken,
            "overrides": self._overrides,
            "shown": self._shown_ms,
            "changed": list(self._changed),
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any], site: Site) -> Self:
        """What `dump` wrote; {} from before there was any pacing."""
        pacers = cls(site)
        pacers._pacers = {store: Pacer.load(pacer) for store, pacer in dumped.get("pacers", {}).items()}
        pacers._flows = msgspec.convert(dumped.get("flows", {}), dict[str, Flows])
        pacers._taken = msgspec.convert(dumped.get("taken", {}), dict[str, tuple[int, int]])
        pacers._overrides = msgspec.convert(dumped.get("overrides", {}), dict[str, list[Override]])
        pacers._shown_ms = dict(dumped.get("shown", {}))
        for store_id in dumped.get("changed", ()):
            pacers._tell_soon(store_id)
        return pacers


_encode = msgspec.json.Encoder().encode


def pacing_name(store_id: str) -> str:
    """The current value of a store's pacing: JSON of `Pacing`."""
    return f"pacing:{store_id}"


def _decided(override: Override) -> Decided:
    until = None if override.until_ms is None else instant(override.until_ms)
    return Decided(override.action, override.by, instant(override.since_ms), until, override.ceiling)


def fingerprint(device: str, store_id: str) -> str:
    """Whom a store waits for or has an open offer for, without saying who that is: offers and pacers tell each other by it."""
    return blake2b(f"{device}\n{store_id}".encode(), digest_size=12).hexdigest()


def eta_of(crossing: outputs.Crossing, store: Store) -> float:
    """Seconds until somebody who is invited at this crossing would be inside: the way on foot, and a while to decide."""
    if crossing.lat is None or crossing.lon is None:
        return USUAL_ETA_S
    lat, other = math.radians(crossing.lat), math.radians(store.lat)
    half = math.sin((other - lat) / 2) ** 2
    half += math.cos(lat) * math.cos(other) * math.sin(math.radians(store.lon - crossing.lon) / 2) ** 2
    distance_m = 2 * 6_371_008.8 * math.asin(math.sqrt(min(half, 1.0)))
    return DECIDES_S + distance_m * DETOUR / WALKING_M_S


def _capacity(store: Store) -> int | None:
    """People in comfort, never more than the law allows."""
    return None if store.capacity is None else min(store.capacity.comfort, store.capacity.legal)
