"""One ring of GeoJSON: from nested lists as somebody wrote them to a closed, unwrapped array, with every fault named.

Unwrapped means that the longitude never jumps: a step of more than 180° goes the short way round, so a ring across the
antimeridian runs on to 181°, and a ring around a pole comes back 360° away from where it began.
"""

from dataclasses import dataclass
from itertools import chain, islice
from math import isfinite
from operator import eq
from typing import Any

import numpy as np

from geo_service.errors import InvalidInputError
from geo_service.geofences.earth import Floats

_NUMBERS = {int, float}
_FARTHEST_LONGITUDE = 360.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a shape, and where: indices count from 0, as in the GeoJSON arrays."""

    reason: str
    polygon: int | None = None
    """Which polygon of a MultiPolygon."""
    ring: int | None = None
    """Which ring of the polygon; 0 is the outer one."""
    position: int | None = None
    """Which position of the ring."""

    def __str__(self) -> str:
        places = (("polygon", self.polygon), ("ring", self.ring), ("position", self.position))
        where = ", ".join(f"{name} {index}" for name, index in places if index is not None)
        return f"{where}: {self.reason}" if where else self.reason


class ShapeError(InvalidInputError):
    """A geometry that is refused; `fault` says where and why."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


@dataclass(frozen=True, slots=True)
class Place:
    """Which ring is being read, so that faults can say it."""

    polygon: int | None
    ring: int | None
    faults: list[Fault]
    """Where repairs are noted."""

    def note(self, reason: str, position: int | None = None) -> None:
        """Report a repair."""
        self.faults.append(Fault(reason, self.polygon, self.ring, position))

    def error(self, reason: str, position: int | None = None) -> ShapeError:
        """The refusal to raise."""
        return ShapeError(Fault(reason, self.polygon, self.ring, position))


def read_ring(positions: Any, place: Place) -> Floats:
    """A GeoJSON linear ring as an array (n, 2) of longitude and latitude: closed, unwrapped, without repeated positions.

    Raises:
        ShapeError: not a list of numbers, out of range, or fewer than three different positions.
    """
    quick = _flawless(positions)
    if quick is not None:
        return quick
    ring = _numbers(positions, place)
    if len(ring) > 0 and not bool((ring[0] == ring[-1]).all()):
        place.note("the ring is not closed; closed with its first position", len(ring) - 1)
        ring = np.concatenate((ring, ring[:1]))
    step = ring[1:] - ring[:-1]
    moved = np.asarray(step.any(axis=1))
    if not moved.all():
        place.note(
            f"repeats the position before it ({len(moved) - int(moved.sum())} in this ring)", int(np.argmin(moved)) + 1
        )
        ring = np.concatenate((ring[:1], ring[1:][moved]))
        step = step[moved]
    if len(ring) < 4:  # three different ones and the closing one
        raise place.error(
            f"a ring needs at least three different positions, this one has {max(len(ring) - 1, min(len(ring), 1))}"
        )
    return _unwrapped(ring, step[:, 0], place)


def read_position(position: Any, place: Place) -> Floats:
    """One GeoJSON position as an array (2,) of longitude and latitude.

    Raises:
        ShapeError: not numbers, or out of range.
    """
    if isinstance(position, list) and len(position) == 2 and set(map(type, position)) <= _NUMBERS:
        lon, lat = position
        if -180 <= lon <= 180 and -90 <= lat <= 90:  # the common case, quickly
            return np.array(position, np.float64)
    first: Floats = _numbers([position], place)[0]
    return first


def _numbers(positions: Any, place: Place) -> Floats:
    """The positions as an array (n, 2), in range."""
    array = _judged(positions, place)
    lon, lat = array[:, 0], array[:, 1]
    if not (np.abs(array) <= (180.0, 90.0)).all():  # false for NaN, too
        _refuse_out_of_range(lon, lat, place)
        place.note("longitudes beyond ±180° are taken as turns around the earth", int(np.argmax(np.abs(lon) > 180)))
    return array


def _flawless(positions: Any) -> Floats | None:
    """The common case, quickly: nothing to repair, nowhere near the antimeridian. None for everything else."""
    try:
        if set(map(len, positions)) != {2}:
            return None
        flat = list(chain.from_iterable(positions))
        lon, lat = flat[::2], flat[1::2]
        low, high = min(lon), max(lon)
        in_range = low >= -180 and high <= 180 and high - low <= 180 and min(lat) >= -90 and max(lat) <= 90
        # min and max may overlook a NaN; a sum does not.
        if set(map(type, flat)) <= _NUMBERS and in_range and isfinite(sum(flat)):
            closed = len(lon) >= 4 and positions[0] == positions[-1]
            if closed and not any(map(eq, positions, islice(positions, 1, None))):
                return np.array(flat, np.float64).reshape(-1, 2)
    except (TypeError, ValueError, KeyError, OverflowError):
        pass
    return None


def _judged(positions: Any, place: Place) -> Floats:
    """Position by position: finds out which one is wrong, and drops third coordinates."""
    if not isinstance(positions, list | tuple):
        raise place.error(f"expected a list of positions, found {_kind(positions)}")
    pairs: list[tuple[float, float]] = []
    dropped: int | None = None
    for index, position in enumerate(positions):
        if not isinstance(position, list | tuple):
            raise place.error(f"expected a position [longitude, latitude], found {_kind(position)}", index)
        if len(position) < 2:
            raise place.error(f"a position needs a longitude and a latitude, found {len(position)} numbers", index)
        for number in position[:2]:
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise place.error(f"expected a number, found {_kind(number)}", index)
        if len(position) > 2 and dropped is None:
            dropped = index
        try:
            pairs.append((float(position[0]), float(position[1])))
        except OverflowError:
            raise place.error("the number is too large", index) from None
    if dropped is not None:
        place.note("more than two coordinates; altitude and what follows is dropped", dropped)
    return np.array(pairs, np.float64).reshape(-1, 2)


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a string", dict: "an object", list: "a list", tuple: "a list"}
    return names.get(type(value), "a number")


def _refuse_out_of_range(lon: Floats, lat: Floats, place: Place) -> None:
    for name, values, limit in (("latitude", lat, 90.0), ("longitude", lon, _FARTHEST_LONGITUDE)):
        bad = ~(np.abs(values) <= limit)
        if bad.any():
            at = int(np.argmax(bad))
            if not np.isfinite(values[at]):
                raise place.error(f"{name} is not a finite number", at)
            swapped = name == "latitude" and abs(values[at]) <= 180 and bool((np.abs(lon) <= 90).all())
            hint = "; are longitude and latitude swapped?" if swapped else ""
            raise place.error(f"{name} {values[at]:g} is out of range{hint}", at)


def _unwrapped(ring: Floats, step: Floats, place: Place) -> Floats:
    far = np.abs(step) > 180
    if not far.any():
        return ring
    at = int(np.argmax(far))
    if (np.abs(ring[:, 0]) > 180).any():
        raise place.error("an edge of more than 180° of longitude, in a ring that also goes beyond ±180°", at)
    turns = np.concatenate(([0.0], np.cumsum(np.where(far, -360 * np.sign(step), 0.0))))
    unwrapped = ring.copy()
    unwrapped[:, 0] += turns
    lon = unwrapped[:, 0]
    if abs(turns[-1]) > 360:
        raise place.error("the ring goes around the earth more than once", at)
    if lon.max() == lon.min():
        hint = "put a position between the ends of each edge of 360° of longitude"
        raise place.error(f"the ring encloses nothing, as long edges go the short way round; {hint}", at)
    moved = (unwrapped[1:] != unwrapped[:-1]).any(axis=1)  # 180° and -180° are one place
    return unwrapped if moved.all() else np.concatenate((unwrapped[:1], unwrapped[1:][moved]))
