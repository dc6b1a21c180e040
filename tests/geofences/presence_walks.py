"""Round fences along the equator, who walks among them, and what is told of it."""

import math

from geo_service.catalogue.documents import Fence
from geo_service.geofences.presence import Presence
from geo_service.pings.batch import PingBatch

NOON = 1_780_000_000_000
METRE = 1 / 111_320
DAY_S = 86_400


def circle(fence="shop", radius_m=50, east_m=0, **other):
    geometry = {"type": "Point", "coordinates": [10 + east_m * METRE, 0.0]}
    return Fence(id=fence, geometry=geometry, radius_m=radius_m, **other)


def at(seconds, metres, device="d1", accuracy_m=5.0, mock=0):
    return (device, NOON + round(seconds * 1000), 0.0, 10 + metres * METRE, accuracy_m, math.nan, math.nan, mock)


def started(mode, *fences, now_ms=NOON):
    presence = Presence(mode)
    for fence in fences:
        assert presence.put_fence(fence, now_ms) == []
    return presence


def send(presence, *pings, logged_s=None):
    """Each ping by itself, logged when it was sent, or all at once at one time."""
    if logged_s is not None:
        return brief(presence.advance(PingBatch.from_rows(list(pings)), NOON + logged_s * 1000).events)
    return [event for ping in pings for event in brief(presence.advance(PingBatch.from_rows([ping]), ping[1]).events)]


def brief(events):
    return [(event.type, event.fence, (event.time_ms - NOON) / 1000, event.reason) for event in events]


def step(presence, *pings, logged_s=0):
    return presence.advance(PingBatch.from_rows(list(pings)), NOON + logged_s * 1000)
