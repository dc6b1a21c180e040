"""Quiet pings: those that change nobody's whereabouts, taken in plain numbers, one by one.

Most pings find their device where it was. For a batch of a few, the columns' hundreds of array operations cost far more
than the pings themselves; so each ping of a small batch is first looked at alone:

```
ping ──► of a known device, in time, no leap ──► the same fences as before ──► nothing due ──► noted, done
                     │ no                                 │ no                    │ no
                     └────────────────────────────────────┴───────────────────────┴──► loud: to the columns
```

What is quiet is decided by the same numbers as in the columns, to the bit, and leaves the same tables behind. A device's
later pings of a batch are loud once one was.
"""

import math
from typing import NamedTuple

import numpy as np

from geo_service.geofences import alone
from geo_service.geofences.arrivals import AHEAD_MS, OLDEST_MS
from geo_service.geofences.devices import NEVER
from geo_service.geofences.fences import NO_DWELL
from geo_service.geofences.leaps import FASTEST_MPS, FORGOTTEN_MS
from geo_service.geofences.stays import OUT, SteadyStays
from geo_service.geofences.steady import (
    ACCURACY_TO_SIGMA,
    DEPTH_SIGMAS,
    DOUBT,
    ENTER,
    LEAST_ACCURACY_M,
    LEAVE,
    REACH_SIGMAS,
    UNKNOWN_ACCURACY_M,
    evidence,
    followed_odds,
    gap,
    odds,
    weigh,
)
from geo_service.geofences.strips import NEAR_M
from geo_service.geofences.tables import Ints, Tables
from geo_service.pings.batch import MOCK, PingBatch

FEW = 4
"""Batches of more pings go to the columns at once."""
_FARTHEST_DEGREE_M = 112_000.0


class _Ping(NamedTuple):
    place: int
    time_ms: int
    lat: float
    lon: float
    accuracy_m: float
    """Nan where the phone did not say."""
    logged_ms: int


def take_quiet(tables: Tables, batch: PingBatch, logged_ms: int) -> Ints:
    """Take the quiet pings of a batch; the rows that are loud."""
    loud = []
    spoken = set()
    columns = zip(
        batch.devices,
        batch.time_ms.tolist(),
        batch.lat.tolist(),
        batch.lon.tolist(),
        batch.accuracy_m.tolist(),
        batch.flags.tolist(),
        strict=True,
    )
    for row, (device, time_ms, lat, lon, accuracy_m, flags) in enumerate(columns):
        place = tables.devices.place_of.get(device)
        told = accuracy_m if accuracy_m > 0 else math.nan
        if (
            place is not None
            and device not in spoken
            and _is_quiet(tables, ping := _Ping(place, time_ms, lat, lon, told, logged_ms))
        ):
            _see(tables, ping, (flags & MOCK) != 0)
        else:
            spoken.add(device)
            loud.append(row)
    return np.array(loud, np.int64)


def _is_quiet(tables: Tables, ping: _Ping) -> bool:
    """Whether a ping changes nothing; if so, what is believed of its device's fences is brought up to date."""
    devices = tables.devices
    time_ms, place = ping.time_ms, ping.place
    if not ping.logged_ms - OLDEST_MS <= time_ms <= ping.logged_ms + AHEAD_MS:
        return False
    if time_ms <= devices.newest_ms.item(place) or tables.fences.crossable:
        return False
    start = devices.start.item(place)
    followed = range(start, start + devices.count.item(place))
    if isinstance(tables.stays, SteadyStays):
        return _steady(tables, tables.stays, ping, followed)
    slots = tables.stays.slot[followed.start : followed.stop].tolist()
    if alone.covering(tables.index, ping.lat, ping.lon) != slots:
        return False
    return all(_stays_so(tables, ping, slot, position) for slot, position in zip(slots, followed, strict=True))


def _stays_so(tables: Tables, ping: _Ping, slot: int, position: int, *, inside: bool = True, sure: bool = True) -> bool:
    """Whether a stay goes on, or is none as before, and its dwell is not due."""
    stays, fences = tables.stays, tables.fences
    enter_ms = stays.enter_ms.item(position)
    on = inside and fences.is_open(slot, ping.time_ms, ping.logged_ms)
    if on != (enter_ms != OUT):
        return False
    dwell_ms = fences.dwell_ms.item(slot)
    if not on or not sure or dwell_ms == NO_DWELL or stays.dwelt.item(position):
        return True
    return ping.time_ms - enter_ms < dwell_ms


def _steady(tables: Tables, stays: SteadyStays, ping: _Ping, followed: range) -> bool:
    told = ping.accuracy_m if ping.accuracy_m > 0 else UNKNOWN_ACCURACY_M
    sigma = max(told, LEAST_ACCURACY_M) / ACCURACY_TO_SIGMA
    reach_m = REACH_SIGMAS * sigma
    if reach_m > NEAR_M or _may_leap(tables, ping):
        return False
    found = alone.near(tables.index, ping.lat, ping.lon, reach_m, DEPTH_SIGMAS * sigma)
    slots = stays.slot[followed.start : followed.stop].tolist()
    if not {slot for slot, _ in found}.issuperset(slots):
        return False
    since = gap((ping.time_ms - tables.devices.fix_ms.item(ping.place)) / 1000)
    least = float(followed_odds(since))
    position_of = dict(zip(slots, followed, strict=True))
    beliefs = []
    for slot, distance_m in found:
        half_m = tables.fences.half_width_m.item(slot)
        position = position_of.get(slot)
        before = 0.0 if position is None else stays.odds.item(position)
        after = float(weigh(before, evidence(since, sigma, half_m, distance_m)))
        if position is None:
            if after >= _ENTER or after > least:
                return False
            continue
        low_ms = _believed(tables, stays, ping, (slot, position), (after, least))
        if low_ms is None:
            return False
        beliefs.append((position, after, low_ms))
    for position, after, low_ms in beliefs:
        stays.odds[position] = after
        stays.low_ms[position] = low_ms
    return True


_ENTER, _DOUBT, _LEAVE = odds(ENTER), odds(DOUBT), odds(LEAVE)


def _believed(
    tables: Tables, stays: SteadyStays, ping: _Ping, pair: tuple[int, int], to: tuple[float, float]
) -> int | None:
    """Since when a followed pair has looked outside, or NEVER; None if its stay begins, ends, or is newly doubted.

    `to`: the odds after the ping, and those down to which somebody outside is followed.
    """
    slot, position = pair
    after, least = to
    was_in = stays.within.item(position)
    low_ms = stays.low_ms.item(position)
    if not was_in:
        quiet = least < after < _ENTER
        return NEVER if quiet and _stays_so(tables, ping, slot, position, inside=False) else None
    if after <= _LEAVE:
        return None
    if after > _DOUBT:
        return NEVER if _stays_so(tables, ping, slot, position) else None
    if low_ms == NEVER or ping.time_ms - low_ms >= tables.fences.exit_after_ms.item(slot):
        return None
    return low_ms if _stays_so(tables, ping, slot, position, sure=False) else None


def _may_leap(tables: Tables, ping: _Ping) -> bool:
    """Whether this may be a fix to be held; the columns know."""
    devices, place = tables.devices, ping.place
    if place in tables.held or (ping.lat == 0 and ping.lon == 0):
        return True
    gap_ms = ping.time_ms - devices.fix_ms.item(place)
    if devices.fix_ms.item(place) == NEVER or gap_ms > FORGOTTEN_MS:
        return True
    degrees = abs(ping.lat - devices.lat.item(place)) + abs(ping.lon - devices.lon.item(place))
    return degrees * _FARTHEST_DEGREE_M * 1000 > FASTEST_MPS * gap_ms


def _see(tables: Tables, ping: _Ping, mock: bool) -> None:
    devices, place = tables.devices, ping.place
    devices.newest_ms[place] = devices.fix_ms[place] = ping.time_ms
    devices.logged_ms[place] = ping.logged_ms
    devices.lat[place] = ping.lat
    devices.lon[place] = ping.lon
    devices.accuracy_m[place] = ping.accuracy_m
    devices.mock[place] = mock
