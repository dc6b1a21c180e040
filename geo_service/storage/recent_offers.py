"""What was decided about each device lately: for phones that ask instead of being told, for whoever wants to know why, and
what became of each delivery.

Without codes: whoever may see one makes it anew from the secret and the offer's id.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec
from redis.client import Pipeline

from geo_service.offers.coupons import without_code
from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import DAY_S, Keys
from geo_service.storage.scripts import Script, run_pipeline
from sensors.instants import millis

KEPT = 100
"""Per device."""
_KEPT_S = 30 * DAY_S
Fate = Literal["none", "queued", "acknowledged", "unheard", "refused", "expired", "pulled"]


class Kept(NamedTuple):
    """One offer as it is kept."""

    offer: bytes
    """JSON of `outputs.Offer`, without its code."""
    device: str
    fate: Mapping[str, str]
    """`fate`, and `fate_ms` when: `queued` waits for the broker, `acknowledged` is with it, `unheard` too but
    nobody listens there, `refused` was not taken, `expired` was too late for it, `none` is not to be delivered; `pulled_ms`
    where the phone has asked."""


class _Offer(msgspec.Struct):
    id: str
    device: str
    time: datetime
    decision: str


_decode = msgspec.json.Decoder(_Offer).decode


class RecentOffers:
    """Offers by device, newest first, and by id. Methods raise UnreachableError once the client's retries are used up."""

    def __init__(self, client: Client, *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        self._client = client
        self._keys = keys or Keys()
        self._keep, self._fared = Script("keep_offers"), Script("fared")

    def keep(self, offers: Iterable[bytes]) -> None:
        """Keep these (JSON of `outputs.Offer`); one that is kept stays as it is, so a delivery may be repeated."""
        by_device: dict[str, list[object]] = {}
        for line in offers:
            offer = _decode(line)
            fate: Fate = "queued" if offer.decision == "sent" else "none"
            by_device.setdefault(offer.device, []).extend((offer.id, millis(offer.time), without_code(line), fate))
        if not by_device:
            return
        prefix = self._keys("offer", id="")

        def queue(pipe: Pipeline) -> None:
            for device, parts in by_device.items():
                key = self._keys("recent_offers", device=device)
                self._keep.queue(pipe, [key], [prefix, KEPT, _KEPT_S, device, *parts])

        with reaching(self._client):
            run_pipeline(self._client, queue, [self._keep], transaction=False)

    def of(self, device: str, limit: int) -> list[bytes]:
        """At most `limit` offers of a device, newest first."""
        if limit < 1:
            return []
        with reaching(self._client):
            ids: Any = self._client.zrevrange(self._keys("recent_offers", device=device), 0, limit - 1)
            with self._client.pipeline(transaction=False) as pipe:
                for offer_id in ids:
                    pipe.hget(self._keys("offer", id=offer_id.decode()), "offer")
                return [line for line in pipe.execute() if line is not None]

    def find(self, offer_id: str) -> Kept | None:
        """One offer; None where it is not kept (any more)."""
        with reaching(self._client):
            found: Any = self._client.hgetall(self._keys("offer", id=offer_id))
        if not found:
            return None
        fields = {name.decode(): value for name, value in found.items()}
        offer, device = fields.pop("offer"), fields.pop("device").decode()
        return Kept(offer, device, {name: value.decode() for name, value in fields.items()})

    def fared(self, fates: Mapping[str, Fate], at_ms: int) -> list[str]:
        """Note what became of deliveries, by offer; returns those that were noted.

        One that is no longer kept is passed over; what reached the broker, or was pulled before, stays as it is.
        """
        if not fates:
            return []

        def queue(pipe: Pipeline) -> None:
            for offer_id, fate in fates.items():
                self._fared.queue(pipe, [self._keys("offer", id=offer_id)], [fate, at_ms])

        with reaching(self._client):
            noted = run_pipeline(self._client, queue, [self._fared], transaction=False)
        return [offer_id for offer_id, is_noted in zip(fates, noted, strict=True) if is_noted]

    def forget(self, device: str) -> None:
        """Keep nothing about this device."""
        recent = self._keys("recent_offers", device=device)
        with reaching(self._client):
            ids: Any = self._client.zrange(recent, 0, -1)
            self._client.delete(recent, *(self._keys("offer", id=offer_id.decode()) for offer_id in ids))
