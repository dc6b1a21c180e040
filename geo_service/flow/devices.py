"""The half of a partition that knows devices: who is where, who stayed, who agreed to what."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import msgspec
import numpy as np

from geo_service.catalogue.documents import Fence, Store
from geo_service.flow.entries import Consent, Purpose
from geo_service.geofences.events import Event
from geo_service.geofences.leaps import Fix
from geo_service.geofences.many import Outline
from geo_service.geofences.presence import Presence, Step
from geo_service.geofences.rings import ShapeError
from geo_service.geofences.visits import Closed, Visit, Visits
from geo_service.pings.batch import PingBatch

Mode = Literal["strict", "steady"]
Assumed = frozenset[Purpose]
"""The purposes that count as agreed to until a person says otherwise."""


class LatePing(NamedTuple):
    """A ping that came after a newer one of its device."""

    after: int
    """How many of the batch's events came before it."""
    device: str
    fix: Fix


class Seen(NamedTuple):
    """What a batch of pings came to."""

    events: list[Event]
    late: list[LatePing]
    too_old: list[str]
    """The devices of pings that were over 24 hours old, one entry a ping."""
    counts: dict[str, int]
    """Pings by fate: `late`, `duplicate`, `skewed`, `too_old`, `held`, `no_consent`."""


class Devices:
    """Presence, visits and consents of the devices of one partition."""

    def __init__(self, mode: Mode, assumed: Assumed) -> None:
        self.presence = Presence(mode)
        self.visits = Visits()
        self._closed: dict[str, Closed] = {}
        """Each device's last visit, while its record may be lengthened; by when it was closed."""
        self.consents: dict[str, dict[Purpose, bool]] = {}
        self._assumed = assumed
        self._unlocated: set[str] = set()

    def pings(self, batch: PingBatch, logged_ms: int) -> Seen:
        """Fold a batch; pings of people who do not agree to be located are dropped unread."""
        refused = 0
        if self._unlocated or "location" not in self._assumed:
            rows = [row for row, device in enumerate(batch.devices) if self.agrees(device, "location")]
            refused = len(batch) - len(rows)
            if refused:
                batch = batch.take(np.array(rows, np.intp))
        step = self.presence.advance(batch, logged_ms)
        counts = {
            "late": len(step.late),
            "duplicate": len(step.duplicate),
            "skewed": len(step.skewed),
            "too_old": len(step.too_old),
            "held": len(step.held),
            "no_consent": refused,
        }
        too_old = [batch.devices[row] for row in np.asarray(step.too_old).tolist()]
        return Seen(step.events, self._late(batch, step), too_old, counts)

    @staticmethod
    def _late(batch: PingBatch, step: Step) -> list[LatePing]:
        if not len(step.late):
            return []
        rows = step.late.tolist()
        columns = (batch.time_ms, batch.lat, batch.lon, batch.accuracy_m)
        fixes = zip(*(column[step.late].tolist() for column in columns), strict=True)
        after = np.searchsorted(step.told, rows).tolist()
        return [LatePing(at, batch.devices[row], Fix(*fix)) for at, row, fix in zip(after, rows, fixes, strict=True)]

    def agrees(self, device: str, purpose: Purpose) -> bool:
        """Whether this person agrees to this purpose."""
        said = self.consents.get(device)
        return (purpose in self._assumed) if said is None else said.get(purpose, purpose in self._assumed)

    def consent(self, consent: Consent, now_ms: int) -> list[Event]:
        """Take note; withdrawing location takes the device out of every fence at once."""
        self.consents.setdefault(consent.device, {}).update(consent.purposes)
        if self.agrees(consent.device, "location"):
            self._unlocated.discard(consent.device)
            return []
        self._unlocated.add(consent.device)
        self._closed.pop(consent.device, None)
        return self.presence.forget(consent.device, now_ms)

    def forget(self, device: str, now_ms: int) -> list[Event]:
        """Leave every fence and keep nothing, consents included."""
        self.consents.pop(device, None)
        self._closed.pop(device, None)
        self._unlocated.discard(device)
        return self.presence.forget(device, now_ms)

    def put_fence(
        self, fence: Fence, stores: Mapping[str, Store], now_ms: int, outline: Outline | ShapeError | None = None
    ) -> list[Event]:
        """A new or changed fence, with its outline where that has been read."""
        return self.presence.put_fence(self.zoned(fence, stores), now_ms, outline)

    @staticmethod
    def zoned(fence: Fence, stores: Mapping[str, Store]) -> Fence:
        """The fence with its store's timezone, which is what its hours are written in."""
        store = stores.get(fence.store or "")
        if store is None or store.timezone == fence.timezone:
            return fence
        return msgspec.structs.replace(fence, timezone=store.timezone)

    def visits_of(self, events: Sequence[Event], late: Sequence[LatePing], now_ms: int) -> list[tuple[Visit, Closed]]:
        """The visits that these events close and that these late pings lengthen, in their order, each with its record.

        A record without an id was not told before: give it one.
        """
        self._forget_closed(now_ms)
        found: list[tuple[Visit, Closed]] = []
        begin = 0
        for ping in late:
            found += self._close(events[begin : ping.after], now_ms)
            begin = ping.after
            found += self._lengthen(ping, now_ms)
        found += self._close(events[begin:], now_ms)
        return found

    def _close(self, events: Sequence[Event], now_ms: int) -> Iterator[tuple[Visit, Closed]]:
        for event in events:
            visit = self.visits.take(event)
            if visit is not None:
                closed = Closed(visit, self.presence.slack_ms(event.fence, event.reason), now_ms)
                self._closed.pop(event.device, None)
                self._closed[event.device] = closed
                yield visit, closed

    def _lengthen(self, ping: LatePing, now_ms: int) -> Iterator[tuple[Visit, Closed]]:
        closed = self._closed.get(ping.device)
        visit = None if closed is None else self.visits.lengthen(closed, ping.fix.time_ms, now_ms)
        if closed is not None and visit is not None and self.presence.was_within(visit.fence, ping.device, ping.fix):
            closed.visit = visit
            yield visit, closed

    def _forget_closed(self, now_ms: int) -> None:
        """Let go of visits that were closed too long ago."""
        for device, closed in list(self._closed.items()):
            if now_ms <= closed.closed_ms + self.visits.recent_ms:
                break
            del self._closed[device]

    def dump(self) -> dict[str, Any]:
        """Everything but the fences."""
        return {"presence": self.presence.dump(), "consents": self.consents, "closed": self._closed}

    @classmethod
    def load(cls, dumped: Mapping[str, Any], mode: Mode, assumed: Assumed, fences: Iterable[Fence]) -> Self:
        """What `dump` wrote."""
        devices = cls(mode, assumed)
        devices.presence = Presence.load(dumped["presence"], fences)
        devices.consents = dumped["consents"]
        devices._closed = msgspec.convert(dumped["closed"], dict[str, Closed])
        devices._unlocated = {device for device in devices.consents if not devices.agrees(device, "location")}
        return devices
