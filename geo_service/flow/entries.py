"""Entries of the log: everything that can change a state, in the order in which it counts.

An entry's id is `(milliseconds, sequence)` as Redis Streams make it. Its milliseconds are the only clock of the core: a
crash, a test and `replay` that read the same entries get the same answer.
"""

from typing import Any, Literal, NamedTuple, Self, cast

import msgspec

from geo_service.offers.affinity import Deed
from geo_service.offers.facts import Facts
from geo_service.outputs import Crossing
from geo_service.pings.batch import PingBatch
from sensors.readings import Reading


class EntryId(NamedTuple):
    """Position in one partition's log; ordered; `str()` is the Redis form `ms-seq`."""

    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read `ms-seq`."""
        ms, _, seq = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return cls(int(ms), int(seq or 0))


START = EntryId(0, 0)
"""Before the first entry."""

Purpose = Literal["location", "offers", "analytics"]


class Pings(NamedTuple):
    """Location pings, in arrival order."""

    batch: PingBatch


class Readings(msgspec.Struct, frozen=True):
    """Sensor readings, in arrival order."""

    readings: list[Reading]


class Recount(msgspec.Struct, frozen=True):
    """Somebody counted the people by eye."""

    store: str
    count: int
    zone: str | None = None
    by: str | None = None


class Override(msgspec.Struct, frozen=True):
    """A manager decides about the pacing of a store."""

    store: str
    action: Literal["pause", "resume", "ceiling", "force"]
    by: str
    until_ms: int | None = None
    ceiling: int | None = None


class Change(msgspec.Struct, frozen=True):
    """A document of the site, new or changed; `document` None removes it."""

    kind: Literal["store", "fence", "sensitive", "sensor", "campaign", "policy", "product", "stock"]
    id: str
    document: bytes | None
    """JSON of the Struct in `catalogue/documents.py`."""


class Changes(msgspec.Struct, frozen=True):
    """Changes of the site, applied in order."""

    changes: list[Change]


class Consent(msgspec.Struct, frozen=True):
    """What a person allows from now on; a purpose that is not named stays as it was."""

    device: str
    purposes: dict[Purpose, bool]
    version: str | None = None
    """Of the text that the person saw."""


class Forget(msgspec.Struct, frozen=True):
    """Forget this device: leave every fence, keep nothing."""

    device: str


class Refusal(msgspec.Struct, frozen=True):
    """Something that the border refused."""

    topic: str
    reason: str
    sensor: str | None = None
    """The sensor that sent it, where that is known, and its store."""
    store: str | None = None


class Refusals(msgspec.Struct, frozen=True):
    """Refusals, for the record."""

    refusals: list[Refusal]


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that somebody did online, or bought."""

    type: Deed
    sku: str | None = None
    category: str | None = None
    query: str | None = None
    quantity: int = 1
    time_ms: int | None = None
    """When; None: as it was logged."""
    id: str | None = None
    """Whoever tells it may tell it again under the same one."""


class Behaviour(msgspec.Struct, frozen=True):
    """What a person showed interest in."""

    device: str
    actions: list[Action]


class Traits(msgspec.Struct, frozen=True):
    """What the retailer knows of a person; None leaves a trait as it was."""

    device: str
    segments: list[str] | None = None
    language: str | None = None
    """"" forgets it."""


class OrderStanding(msgspec.Struct, frozen=True):
    """How a person's order stands: for whoever handles orders to say, to the partition of the device."""

    device: str
    order: str
    store: str
    state: Literal["open", "ready", "closed"]
    """`open` from when it was placed, `ready` to be fetched, `closed` when it was handed over or is over otherwise."""


class Redeemed(msgspec.Struct, frozen=True):
    """A coupon changed hands, as `storage/coupons.py` decided; to the partition of the store that offered it."""

    id: str
    """Of this change: a repeat has the same one and changes nothing."""
    offer: str
    campaign: str
    device: str
    store: str
    """Where it was offered."""
    at: str
    """Where it happened."""
    change: Literal["redeemed", "rolled_back", "void"]
    previous: Literal["issued", "locked", "redeemed", "rolled_back"]
    channel: Literal["store", "online"]
    time_ms: int
    amount: int | None = None


class Undelivered(msgspec.Struct, frozen=True):
    """Offers of a store that never reached their shoppers; to the partition of the store."""

    store: str
    offers: list[str]


class Pursuit(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shopper whom a full store keeps from an offer, on her way through the stores that may have room, and back again."""

    crossing: Crossing
    """What triggered the offer, at the store that is full."""
    facts: Facts
    """As seen from there."""
    campaign: str
    offer: str
    """Id of the decision that was withheld."""
    reason: str
    """Of that, for people."""
    stores: list[str]
    """Still to be asked, nearest first; [] on the way back."""
    tried: int = 0
    """Stores that were asked already."""
    waits: bool = False
    """The first store keeps her place in its queue, and wants to hear what came of it."""
    admitted: str | None = None
    """The store that has room; on the way back."""

    @property
    def goes_to(self) -> str:
        """The store whose partition is to read it next."""
        return self.stores[0] if self.stores else self.crossing.store or ""


class Handover(msgspec.Struct, frozen=True):
    """What concerns stores that another partition owns, from the partition that knows of it."""

    source: int
    entry: str
    """Id of the entry that made them, in the source's log."""
    crossings: list[Crossing]
    """In their order. One with another reason than `observed` triggers nothing: somebody waits no longer."""
    facts: list[Facts | None] = []
    """What is known of each crossing's person, None where nothing could be made of it; [] from before there were facts."""
    pursuits: list[Pursuit] = []


class Tick(msgspec.Struct, frozen=True):
    """A second has passed: whatever is due by the entry's time happens now."""


Body = (
    Pings
    | Readings
    | Recount
    | Override
    | Changes
    | Consent
    | Forget
    | Refusals
    | Behaviour
    | Traits
    | OrderStanding
    | Redeemed
    | Undelivered
    | Handover
    | Tick
)


class Entry(NamedTuple):
    """One entry: where it stands in the log, and what it says."""

    id: EntryId
    body: Body


_STRUCTS = {
    kind.__name__.lower(): kind
    for kind in (
        Readings,
        Recount,
        Override,
        Changes,
        Consent,
        Forget,
        Refusals,
        Behaviour,
        Traits,
        OrderStanding,
        Redeemed,
        Undelivered,
        Handover,
        Tick,
    )
}
_DECODERS: dict[str, msgspec.msgpack.Decoder[Any]] = {
    name: msgspec.msgpack.Decoder(kind) for name, kind in _STRUCTS.items()
}
_encode = msgspec.msgpack.Encoder().encode


def encode_body(body: Body) -> tuple[str, bytes]:
    """The body's kind and bytes, as the log stores them."""
    if isinstance(body, Pings):
        return "pings", body.batch.encode()
    return type(body).__name__.lower(), _encode(body)


def decode_body(kind: str, data: bytes) -> Body:
    """The body that `encode_body` wrote.

    Raises:
        msgspec.DecodeError: the log holds something that no version of this code wrote.
    """
    if kind == "pings":
        return Pings(PingBatch.decode(data))
    if kind not in _DECODERS:
        raise msgspec.DecodeError(f"unknown entry kind {kind!r}")
    return cast("Body", _DECODERS[kind].decode(data))
