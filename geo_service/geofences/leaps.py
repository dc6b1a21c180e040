"""Leaps: fixes too far from the last one to be believed alone (steady presence).

A receiver without a fix may say (0, 0), and a reflection or the place of a radio mast may throw a phone across the country.
A fix that implies over 100 m/s beyond what the claimed accuracies explain, or stands at (0, 0) exactly, is held; the next
one that agrees with it counts, and so does one that agrees with where the device was.

Nearly every batch has none, which is seen on whole columns; only the devices that leap are followed ping by ping.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.devices import NEVER, Devices

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

FASTEST_MPS = 100.0
FORGOTTEN_MS = 3_600_000
"""After so long without a fix any place is as good as another: people fly."""
UNKNOWN_ACCURACY_M = 15.0
_METRES_PER_DEGREE = 111_320.0
"""Half a per cent is near enough for what is too far."""


class Fix(NamedTuple):
    """Where a device says it was."""

    time_ms: int
    lat: float
    lon: float
    accuracy_m: float


class Fixes(NamedTuple):
    """Fixes as columns; accuracy is nan where the phone did not say."""

    time_ms: Ints
    lat: Floats
    lon: Floats
    accuracy_m: Floats

    def take(self, at: NDArray[np.intp]) -> "Fixes":
        """The given rows."""
        return Fixes(self.time_ms[at], self.lat[at], self.lon[at], self.accuracy_m[at])


def leaps(devices: Devices, held: dict[int, Fix], dev: Ints, fixes: Fixes, repeats: bool) -> Mask:
    """Which rows to hold.

    Args:
        devices: where each was last.
        held: the fix held of a device, by its place; brought up to date.
        dev: the device of each row; a device's rows come in the order of time.
        fixes: what each row says.
        repeats: whether a device occurs more than once.
    """
    holds = np.zeros(len(dev), np.bool_)
    suspect = _suspects(devices, dev, fixes, repeats)
    if held:
        suspect |= np.isin(dev, np.fromiter(held, np.int64, len(held)))
    if not suspect.any():
        return holds
    last: dict[int, Fix | None] = {}
    for row in np.isin(dev, dev[suspect]).nonzero()[0].tolist():
        place = int(dev[row])
        fix = Fix(*(column[row].item() for column in fixes))
        before = last[place] if place in last else _last(devices, place)
        waits = held.pop(place, None)
        confirmed = waits is not None and fix.time_ms - waits.time_ms <= FORGOTTEN_MS and _near(waits, fix)
        if confirmed or (not _nowhere(fix) and _near(before, fix)):
            before = fix
        else:
            held[place] = fix
            holds[row] = True
        last[place] = before
    return holds


def _suspects(devices: Devices, dev: Ints, fixes: Fixes, repeats: bool) -> Mask:
    """Which rows leap from their device's row before, or stand at (0, 0)."""
    seen_ms, lat, lon = devices.fix_ms[dev], devices.lat[dev], devices.lon[dev]
    again, earlier = np.empty(0, np.int64), np.empty(0, np.int64)
    if repeats:
        order = np.argsort(dev, kind="stable")
        follows = (dev[order][1:] == dev[order][:-1]).nonzero()[0]
        again, earlier = order[follows + 1], order[follows]
        seen_ms[again] = fixes.time_ms[earlier]
        lat[again], lon[again] = fixes.lat[earlier], fixes.lon[earlier]
    # Most are nearer than anything could be too far: only the others are measured.
    degrees = np.abs(fixes.lat - lat) + np.abs(fixes.lon - lon)
    suspect = ~(degrees * (_METRES_PER_DEGREE * 1000) <= FASTEST_MPS * (fixes.time_ms - np.maximum(seen_ms, 0)))
    rows = suspect.nonzero()[0]
    if len(rows):
        accuracy_m = devices.accuracy_m[dev].astype(np.float64)
        accuracy_m[again] = fixes.accuracy_m[earlier]
        suspect[rows] = _leaping(Fixes(seen_ms, lat, lon, accuracy_m).take(rows), fixes.take(rows))
    return np.asarray(suspect | ((fixes.lat == 0) & (fixes.lon == 0)), np.bool_)


def _leaping(before: Fixes, fixes: Fixes) -> Mask:
    gap_ms = fixes.time_ms - np.maximum(before.time_ms, 0)
    far_m = _apart_m(before, fixes) - _blur_m(before.accuracy_m) - _blur_m(fixes.accuracy_m)
    known = (before.time_ms != NEVER) & (gap_ms <= FORGOTTEN_MS)
    return np.asarray(known & (far_m * 1000 > FASTEST_MPS * gap_ms), np.bool_)


def _apart_m(one: Fixes, other: Fixes) -> Floats:
    east = (other.lon - one.lon + 180) % 360 - 180
    east *= np.cos(np.radians((one.lat + other.lat) / 2))
    return np.asarray(np.hypot(east, other.lat - one.lat) * _METRES_PER_DEGREE, np.float64)


def _blur_m(accuracy_m: Floats) -> Floats:
    return np.where(accuracy_m > 0, accuracy_m, UNKNOWN_ACCURACY_M)


def _last(devices: Devices, place: int) -> Fix | None:
    time_ms = int(devices.fix_ms[place])
    if time_ms == NEVER:
        return None
    return Fix(time_ms, float(devices.lat[place]), float(devices.lon[place]), float(devices.accuracy_m[place]))


def _nowhere(fix: Fix) -> bool:
    return fix.lat == 0 and fix.lon == 0


def _near(before: Fix | None, fix: Fix) -> bool:
    """Whether somebody could have got from one to the other."""
    if before is None or fix.time_ms - before.time_ms > FORGOTTEN_MS:
        return True
    east = (fix.lon - before.lon + 180) % 360 - 180
    east *= math.cos(math.radians((before.lat + fix.lat) / 2))
    far_m = math.hypot(east, fix.lat - before.lat) * _METRES_PER_DEGREE
    for accuracy_m in (before.accuracy_m, fix.accuracy_m):
        far_m -= accuracy_m if accuracy_m > 0 else UNKNOWN_ACCURACY_M
    return far_m * 1000 <= FASTEST_MPS * (fix.time_ms - before.time_ms)
