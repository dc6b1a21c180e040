"""The nearest store fences, put onto OwnTracks phones as regions, so that a phone wakes up at a shop's door by itself.

A phone is told on `{its topic}/cmd` when it is first heard, and again when other fences are the nearest. It watches few
regions (iOS 20 for all apps' needs of one app), so it is given ten, each under a fixed `tst`: OwnTracks knows a region by
that, so the next ten replace these and never pile up, and the shopper's own regions are left alone.
Source: https://owntracks.org/booklet/tech/json/ (`_type=cmd`, `action=setWaypoints`; `_type=waypoint`).

Nothing here is an effect of the log: it is said again after a restart, and lost when too much is to be said at once.
"""

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

import msgspec
import structlog

from geo_service.catalogue.site import Kind, decode_document
from geo_service.delivery.mqtt_publisher import Outgoing
from geo_service.errors import UnreachableError
from geo_service.geofences.regions import Region, Regions
from geo_service.storage.catalogue import Catalogue

_log = structlog.get_logger(__name__)
MOST = 10
LEAST_RADIUS_M = 100.0
"""Phones do not notice smaller regions (Apple and Google both advise 100 m)."""
FIRST_TST = 946_684_800
"""The regions' `tst` count up from here: the year 2000, when nobody made a region by hand."""
WAITING = 10_000
PHONES = 100_000
_LOOK_S = 1.0


class Publisher(Protocol):
    """Sends and waits for the broker's word."""

    def publish(self, messages: Sequence[Outgoing]) -> object:
        """Returns once the broker has answered for all of them; it says itself what is refused."""
        ...


class _Seen(NamedTuple):
    topic: str
    lat: float
    lon: float


class Waypoints:
    """Tells phones their nearest store fences. `seen` may be called from any thread; `run` is one."""

    def __init__(self, catalogue: Catalogue, publisher: Publisher, count: Callable[[str, int], None]) -> None:
        """`count(name, n)` is told of what was said and what had to be left out."""
        self._catalogue = catalogue
        self._publisher = publisher
        self._count = count
        self._waiting: queue.Queue[_Seen] = queue.Queue(WAITING)
        self._version = 0
        self._regions = Regions()
        self._names: dict[str, str] = {}
        # Neither a phone's name nor its place stays here, only digests: nothing to forget when somebody is forgotten.
        self._told: OrderedDict[bytes, bytes] = OrderedDict()

    def seen(self, topic: str, lat: float, lon: float) -> None:
        """An OwnTracks phone published its place (degrees) on this topic."""
        try:
            self._waiting.put_nowait(_Seen("/".join(topic.split("/")[:3]), lat, lon))
        except queue.Full:
            self._count("waypoints_skipped", 1)

    def run(self, stop: threading.Event) -> None:
        """Answer until stopped. A broker or store that does not answer is the business of the roles that cannot do without."""
        while not stop.is_set():
            try:
                first = self._waiting.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            newest = {first.topic: first}
            while len(newest) < WAITING and not self._waiting.empty():
                seen = self._waiting.get_nowait()
                newest[seen.topic] = seen
            try:
                self.refresh()
                messages = [message for seen in newest.values() if (message := self.answer(*seen)) is not None]
                self._publisher.publish(messages)
                self._count("waypoints_told", len(messages))
            except UnreachableError as error:
                _log.warning("phones were not told of the fences near them", reason=str(error))
                self._told.clear()
                self._count("waypoints_skipped", len(newest))

    def refresh(self) -> None:
        """Take in what changed in the site."""
        if self._catalogue.version() == self._version:
            return
        changed = self._catalogue.since(self._version)
        for (kind, key), stored in changed.documents.items():
            self._take(kind, key, None if stored is None else stored.document)
        self._version = changed.version

    def _take(self, kind: Kind, key: str, document: bytes | None) -> None:
        if kind == "store":
            self._names.pop(key, None)
            if document is not None:
                self._names[key] = decode_document(kind, document).name
        elif kind == "fence":
            fence = None if document is None else decode_document(kind, document)
            if fence is None or fence.role != "store":
                self._regions.remove(key)
            else:
                self._regions.put(fence)

    def answer(self, topic: str, lat: float, lon: float) -> Outgoing | None:
        """What to tell a phone here; None if it was told just that last time."""
        nearest = sorted(self._regions.nearest(lat, lon, MOST))
        if not nearest:
            return None
        payload = set_waypoints(nearest, self._names)
        phone, digest = blake2b(topic.encode(), digest_size=16).digest(), blake2b(payload, digest_size=8).digest()
        told = self._told.pop(phone, None)
        self._told[phone] = digest
        if len(self._told) > PHONES:
            self._told.popitem(last=False)
        return None if told == digest else Outgoing(f"{topic}/cmd", payload)


def set_waypoints(regions: Sequence[Region], names: dict[str, str]) -> bytes:
    """The command that makes a phone watch these."""
    waypoints = [
        {
            "_type": "waypoint",
            "desc": names.get(region.store or "", region.store or region.fence),
            "lat": round(region.lat, 6),
            "lon": round(region.lon, 6),
            "rad": round(max(region.radius_m, LEAST_RADIUS_M)),
            "tst": FIRST_TST + number,
        }
        for number, region in enumerate(regions)
    ]
    command = {
        "_type": "cmd",
        "action": "setWaypoints",
        "waypoints": {"_type": "waypoints", "waypoints": waypoints},
    }
    return msgspec.json.encode(command)
