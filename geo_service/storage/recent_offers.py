"""What was decided about each device lately, for phones that ask instead of being told, and for whoever wants to know why."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from geo_service.storage.connection import Client, reaching
from geo_service.storage.keys import DAY_S, Keys
from sensors.instants import millis

KEPT = 100
"""Per device."""
_KEPT_S = 30 * DAY_S


class _Offer(msgspec.Struct):
    device: str
    time: datetime


_decode = msgspec.json.Decoder(_Offer).decode


class RecentOffers:
    """Offers by device, newest first. Every method raises UnreachableError once the client's retries are used up."""

    def __init__(self, client: Client, *, keys: Keys | None = None) -> None:
        """Sends nothing."""
        self._client = client
        self._keys = keys or Keys()

    def keep(self, offers: Iterable[bytes]) -> None:
        """Keep these (JSON of `outputs.Offer`); the same bytes again are kept once, so a delivery may be repeated."""
        by_device: dict[str, dict[bytes, int]] = {}
        for line in offers:
            offer = _decode(line)
            by_device.setdefault(offer.device, {})[line] = millis(offer.time)
        if not by_device:
            return
        with reaching(self._client), self._client.pipeline(transaction=False) as pipe:
            for device, lines in by_device.items():
                key = self._keys("recent_offers", device=device)
                pipe.zadd(key, lines)
                pipe.zremrangebyrank(key, 0, -KEPT - 1)
                pipe.expire(key, _KEPT_S)
            pipe.execute()

    def of(self, device: str, limit: int) -> list[bytes]:
        """At most `limit` offers of a device, newest first."""
        if limit < 1:
            return []
        with reaching(self._client):
            found: Any = self._client.zrevrange(self._keys("recent_offers", device=device), 0, limit - 1)
        return list(found)

    def forget(self, device: str) -> None:
        """Keep nothing about this device."""
        with reaching(self._client):
            self._client.delete(self._keys("recent_offers", device=device))
