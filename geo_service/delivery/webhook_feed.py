"""From outputs to the endpoints' queues: who hears what, occupancies no more often than wanted. Pure but for its memory.

What an endpoint hears of a place's occupancy is the newest value, at most once in its `occupancy_s`. Values that wait for
their turn are in memory only: a worker that starts begins with the current value of every place, so none is lost.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from geo_service.delivery.webhook_endpoints import Endpoint, Head, form, head_of, hears
from geo_service.flow.entries import EntryId

OCCUPANCY, OFFER = "occupancy", "offer"
Place = tuple[str, str, str]
"""(endpoint, store, zone or "")"""


class Queued(NamedTuple):
    """One delivery to be queued."""

    endpoint: str
    id: str
    kind: str
    body: bytes
    offer: str = ""
    """Id of the offer that is delivered; "" of anything else."""


class Feed:
    """Decides what is queued for whom."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}
        self._said_ms: dict[Place, int] = {}
        self._held: dict[Place, Queued] = {}

    def use(self, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
        """These are the endpoints from now on; returns those that hear occupancies and did not so far."""
        before = self._endpoints
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        for places in (self._said_ms, self._held):
            for place in [place for place in places if place[0] not in self._endpoints]:
                del places[place]
        return [
            endpoint
            for endpoint in self._endpoints.values()
            if _hears_occupancy(endpoint)
            and not ((known := before.get(endpoint.id)) is not None and _hears_occupancy(known))
        ]

    def begin(self, endpoint: Endpoint, current: Mapping[str, Sequence[bytes]], now_ms: int) -> list[Queued]:
        """The newest occupancy of every place, for an endpoint that begins to hear of them."""
        queued = []
        for line in (line for lines in current.values() for line in lines):
            head = head_of(line)
            delivery_id = f"o-{hashlib.sha256(line).hexdigest()[:32]}"
            if hears(endpoint, head) and (ready := self._throttled(endpoint, head, line, delivery_id, now_ms)):
                queued.append(ready)
        return queued

    def take(self, partition: int, entry: EntryId, blob: bytes, now_ms: int) -> list[Queued]:
        """What the outputs of one entry mean for the endpoints. A delivery's id is its output's place in the log: the same
        however often it is made, and the `id` of crossings and visits.
        """
        queued = []
        for number, line in enumerate(blob.split(b"\n")):
            if not self._endpoints:
                break
            head = head_of(line)
            for endpoint in self._endpoints.values():
                if not hears(endpoint, head):
                    continue
                delivery_id = f"{partition}-{entry}-{number}"
                if head.kind == OCCUPANCY:
                    ready = self._throttled(endpoint, head, line, delivery_id, now_ms)
                    if ready is not None:
                        queued.append(ready)
                else:
                    offer = (head.id or "") if head.kind == OFFER else ""
                    queued.append(Queued(endpoint.id, delivery_id, head.kind, form(endpoint, line, head), offer))
        return queued

    def due(self, now_ms: int) -> list[Queued]:
        """Held occupancies whose turn has come."""
        ready = [
            place
            for place in self._held
            if now_ms - self._said_ms[place] >= self._endpoints[place[0]].occupancy_s * 1000
        ]
        for place in ready:
            self._said_ms[place] = now_ms
        return [self._held.pop(place) for place in ready]

    def _throttled(self, endpoint: Endpoint, head: Head, line: bytes, delivery_id: str, now_ms: int) -> Queued | None:
        place = (endpoint.id, head.store or "", head.zone or "")
        delivery = Queued(endpoint.id, delivery_id, head.kind, line)
        said_ms = self._said_ms.get(place)
        if said_ms is not None and now_ms - said_ms < endpoint.occupancy_s * 1000:
            self._held[place] = delivery
            return None
        self._held.pop(place, None)
        self._said_ms[place] = now_ms
        return delivery


def _hears_occupancy(endpoint: Endpoint) -> bool:
    return endpoint.disabled is None and OCCUPANCY in endpoint.kinds
