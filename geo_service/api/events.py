"""Outputs as server-sent events: which are streamed, and what of them is shown to whom.

An event is encoded once and its bytes are shared by all clients; a second form, without anything that names a device, is
made the first time somebody needs it.
"""

import msgspec

from geo_service.offers.coupons import without_code
from geo_service.people.identity import without_identity
from geo_service.principals import Action, Principal

STREAMED = frozenset(
    ("occupancy", "crossing", "offer", "redemption", "order", "trip", "appointment", "sensor", "alert", "rejected")
)
# These name a device and no store: for those who may see every store and every device.
_UNPLACED = frozenset(("rejected",))


class _Head(msgspec.Struct, gc=False):
    kind: str
    store: str | None = None
    zone: str | None = None
    device: str | None = None
    reason: str | None = None


_head = msgspec.json.Decoder(_Head)


class Event:
    """One output on its way to the clients."""

    __slots__ = ("_anonymous", "_device", "_line", "forgets", "full", "kind", "order", "slot", "store")

    def __init__(self, line: bytes, head: _Head, order: int) -> None:
        if head.kind == "offer":
            line = without_code(line)  # a code is money; it is the shopper's alone
        self.kind = head.kind
        self.store = head.store
        self.order = order
        """Rises by one from event to event."""
        self.slot = (head.store, head.zone) if head.kind == "occupancy" else None
        """Of several events with one slot only the newest matters."""
        self.full = frame(head.kind, line)
        self._line = line
        self._device = head.device
        self._anonymous: bytes | None = None
        self.forgets = head.device if head.kind == "crossing" and head.reason == "forgotten" else None
        """The device that is being forgotten, and left a fence by that."""

    def mentions(self, device: str) -> bool:
        """Whether the device's id stands anywhere in it."""
        return device.encode() in self._line

    @property
    def anonymous(self) -> bytes:
        """The frame without device ids and coupon codes."""
        if self._anonymous is None:
            self._anonymous = (
                self.full if self._device is None else frame(self.kind, without_identity(self._line, self._device))
            )
        return self._anonymous


def frame(kind: str, data: bytes) -> bytes:
    """An event without its closing blank line, so that an id may still follow."""
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n"


def event_of(line: bytes, order: int) -> Event | None:
    """The event of one output; None where outputs of its kind are not streamed.

    Raises:
        msgspec.MsgspecError: the line is no output.
    """
    head = _head.decode(line)
    return Event(line, head, order) if head.kind in STREAMED else None


class View:
    """What one client sees."""

    __slots__ = ("_identities", "stores")

    def __init__(self, principal: Principal, wanted: frozenset[str] | None) -> None:
        self.stores = wanted if wanted is not None else principal.stores
        """None: all, and what belongs to none."""
        self._identities = principal.may(Action.IDENTITIES)

    def sees(self, event: Event) -> bool:
        """Whether the event is for this client."""
        if event.kind in _UNPLACED:
            return self.stores is None and self._identities
        return self.stores is None or event.store in self.stores

    def form(self, event: Event) -> bytes:
        """The event's frame as this client may see it."""
        return event.full if self._identities else event.anonymous
