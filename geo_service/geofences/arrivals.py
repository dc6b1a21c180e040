"""Which pings of a batch count: each device's time only goes forward.

A ping not later than its device's newest one is late, and one at the very same time a duplicate: neither moves anything.
A clock more than two minutes ahead of the log is not believed (the ping counts at the log's time); a ping older than a
day is refused, for nothing as old as that is kept.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.devices import Devices
from geo_service.pings.batch import PingBatch

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

AHEAD_MS = 120_000
OLDEST_MS = 86_400_000


class Arrivals(NamedTuple):
    """The rows of a batch that count, with device and time; and those that do not, or not as they came, by why."""

    rows: Ints
    dev: Ints
    time_ms: Ints
    repeats: bool
    """Whether a device occurs more than once among the rows that count."""
    late: Ints
    duplicate: Ints
    skewed: Ints
    too_old: Ints


def judge(batch: PingBatch, logged_ms: int, devices: Devices) -> Arrivals:
    """Judge the rows of a batch that entered the log at this time; devices not seen before get a place."""
    time_ms, skewed = effective_time(batch.time_ms, logged_ms)
    old = batch.time_ms < logged_ms - OLDEST_MS
    place = np.flatnonzero(~old)
    dev = devices.intern([batch.devices[row] for row in place.tolist()] if old.any() else batch.devices)
    time_ms = time_ms[place]
    newest_ms = devices.newest_ms[dev]
    repeats = has_repeats(dev, devices.size)
    if repeats:
        newest_ms = newest_before(dev, time_ms, newest_ms)
    counts = time_ms > newest_ms
    return Arrivals(
        place[counts],
        dev[counts],
        time_ms[counts],
        repeats,
        place[time_ms < newest_ms],
        place[time_ms == newest_ms],
        np.flatnonzero(skewed),
        np.flatnonzero(old),
    )


def effective_time(time_ms: Ints, logged_ms: int) -> tuple[Ints, Mask]:
    """The time that counts for each ping, and which clocks were not believed."""
    skewed = time_ms > logged_ms + AHEAD_MS
    return (np.where(skewed, logged_ms, time_ms) if skewed.any() else time_ms), skewed


def newest_before(dev: Ints, time_ms: Ints, newest_ms: Ints) -> Ints:
    """For each row the newest time of its device before that row.

    Args:
        dev: the device's place, per row.
        time_ms: the row's time.
        newest_ms: the device's newest time before the batch, per row.
    """
    order = np.argsort(dev, kind="stable")
    first = np.ones(len(dev), np.bool_)
    first[1:] = dev[order][1:] != dev[order][:-1]
    # One running maximum over all devices at once: each device's times are lifted above those of the one before.
    low = int(time_ms.min()) - 1
    high = int(time_ms.max()) + 1
    base = np.clip(newest_ms[order], low, high) - low
    lift = np.cumsum(first) * (high - low + 1)
    highest = np.maximum.accumulate(lift + np.maximum(base, time_ms[order] - low))
    before = base.copy()
    before[1:][~first[1:]] = (highest[:-1] - lift[:-1])[~first[1:]]
    result = np.empty(len(dev), np.int64)
    result[order] = before + low
    return result


def has_repeats(dev: Ints, size: int) -> bool:
    """Whether a device occurs more than once."""
    last = np.empty(size, np.int32)
    rows = np.arange(len(dev), dtype=np.int32)
    last[dev] = rows
    return bool((last[dev] != rows).any())


def in_turn(dev: Ints, repeats: bool) -> tuple[Ints, Ints, Ints, Ints]:
    """Rows sorted by device, each device's in their order; then the number of each sorted row's device, and each one's ends.

    Returns:
        `order, who, first, last`: elements of `dev`; per sorted row; per device its first and last sorted row.
    """
    every = np.arange(len(dev))
    if not repeats:
        return every, every, every, every
    order = np.argsort(dev, kind="stable")
    begins = np.ones(len(dev), np.bool_)
    begins[1:] = dev[order][1:] != dev[order][:-1]
    first = begins.nonzero()[0]
    return order, np.cumsum(begins) - 1, first, np.append(first[1:], len(dev)) - 1
