"""The index's questions for a single point, in plain numbers: the same answers as from columns, to the bit.

An operation on an array costs about a microsecond however short the array is, and a question takes a hundred of them. For
one point plain arithmetic is ten times cheaper. It goes as far as things are clear: a point all but on an edge, a shape
around half the world, a large circle are left to `exact.py`, which knows about them.
"""

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.celltable import CODE_UNIT_M
from geo_service.geofences.earth import E2, EQUATOR_M, RADIANS, Floats, chord, metres_per_degree
from geo_service.geofences.exact import circle_distances, circles_cover, polygon_edge_distances, polygons_cover
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.outlines import Outlines
from geo_service.geofences.strips import NEAR_M

_CIRCLE_BIT = 128
_CLEARLY_IN, _CLEARLY_OUT = 0.97, 1.03
"""Squares of distances in radii; what lies between is asked of `exact.py`."""
_CLEARLY_NEAR, _SMALL_CIRCLE_M = 3.9, 800.0
_CLEAR_SIDE, _CLEAR_LENGTH = 1e-12, 1e-100
_MOST_EDGES = 100
"""More are faster as columns."""
_LEAST_SCALE = 1000.0
"""Metres per degree of longitude; closer to a pole `exact.py` measures."""


def covering(index: FenceIndex, lat: float, lon: float) -> list[int]:
    """Slots of the fences that cover a point, ascending: `FenceIndex.match`."""
    reaching, _ = index.listed_at(lat, lon)
    x = lon - 360 if lon >= 180 else lon
    outlines = index.outlines
    found = [entry >> 8 for entry in reaching if entry & 127 or _covers(outlines, entry, lat, x)]
    found.sort()
    return found


def near(index: FenceIndex, lat: float, lon: float, reach_m: float, depth_m: float) -> list[tuple[int, float]]:
    """Slots of the fences within reach, ascending, and the signed distance to each one's edge: `FenceIndex.within`.

    Raises:
        ValueError: the reach is over `NEAR_M`.
    """
    if reach_m > NEAR_M:
        raise ValueError(f"{reach_m} m is farther than cells are told of fences ({NEAR_M} m)")
    reaching, close = index.listed_at(lat, lon)
    point = _Point(lat, lon, reach_m, depth_m)
    found = [(entry >> 8, _depth(index.outlines, entry, point)) for entry in reaching]
    found += [
        (entry >> 8, _distance(index.outlines, entry & ~127, point))
        for entry in close
        if (entry & 127) * CODE_UNIT_M <= reach_m
    ]
    found = [pair for pair in found if pair[1] <= reach_m]
    found.sort()
    return found


class _Point:
    """A point, and how far outside and inside of an edge it matters how far exactly it is."""

    def __init__(self, lat: float, lon: float, reach_m: float, depth_m: float) -> None:
        self.lat = lat
        self.lon = lon
        self.x = lon - 360 if lon >= 180 else lon
        self.reach_m = reach_m
        self.depth_m = depth_m

    @cached_property
    def on_earth(self) -> tuple[float, float, float]:
        """Metres from the earth's centre."""
        return _on_earth(self.lat, self.lon)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Metres per degree of longitude and of latitude."""
        east_m, north_m = metres_per_degree(_one(self.lat))
        return east_m.item(), north_m.item()


def _depth(outlines: Outlines, entry: int, point: _Point) -> float:
    """Signed metres for a fence that reaches into the point's cell: the cell may say enough."""
    code = entry & 127
    bound = (code - 1) * CODE_UNIT_M
    return -bound if code and bound >= point.depth_m else _distance(outlines, entry, point)


def _covers(outlines: Outlines, entry: int, lat: float, x: float) -> bool:
    slot = entry >> 8
    if entry & _CIRCLE_BIT:
        square = _square_in_radii(outlines, slot, lat, x)
        if square <= _CLEARLY_IN or square >= _CLEARLY_OUT:
            return square < 1
        return bool(circles_cover(outlines, _one_slot(slot), _one(lat), _one(x))[0])
    inside = _polygon_covers(outlines, slot, lat, x)
    return bool(polygons_cover(outlines, _one_slot(slot), _one(x), _one(lat))[0]) if inside is None else inside


def _square_in_radii(outlines: Outlines, slot: int, lat: float, x: float) -> float:
    lon0, lat0, east, north, _ = outlines.head[slot].tolist()
    dx, dy = (x - lon0) * east, (lat - lat0) * north
    return float(dx * dx + dy * dy)


def _polygon_covers(outlines: Outlines, slot: int, lat: float, lon: float) -> bool | None:
    """Whether a ray to the east crosses an odd number of edges; None where that is not clear."""
    west, south, east, north, rate = outlines.head[slot].tolist()
    x = lon + 360 if lon < west else lon
    if not (x <= east and south <= lat <= north):
        return False
    first, slabs = outlines.slab[slot].tolist()
    band = first + min(int((lat - south) * rate), slabs - 1)
    begin, end = outlines.slabs[band : band + 2].tolist()
    if end - begin > _MOST_EDGES:
        return None
    inside = False
    for x0, y0, x1, y1 in _edges(outlines, begin, end):
        if y0 == lat:
            return None
        below = y1 <= lat
        if (y0 <= lat) != below:
            left, right = (x0 - x) * (y1 - lat), (x1 - x) * (y0 - lat)
            side = left - right
            if abs(side) <= _CLEAR_SIDE * (abs(left) + abs(right)) + _CLEAR_LENGTH:
                return None
            if (side > 0) != below:
                inside = not inside
    return inside


def _edges(outlines: Outlines, begin: int, end: int) -> "zip[tuple[float, float, float, float]]":
    edges = outlines.edges[begin:end]
    ends = (outlines.x.take(edges), outlines.y.take(edges), outlines.x.take(edges + 1), outlines.y.take(edges + 1))
    return zip(*(column.tolist() for column in ends), strict=True)


def _distance(outlines: Outlines, entry: int, point: _Point) -> float:
    """Signed metres to the edge, as far as matters."""
    slot = entry >> 8
    if entry & _CIRCLE_BIT:
        square, radius = _square_in_radii(outlines, slot, point.lat, point.lon), outlines.head.item(slot, 4)
        clear = square <= _CLEARLY_IN or _CLEARLY_OUT <= square < _CLEARLY_NEAR
        if clear and radius <= _SMALL_CIRCLE_M:
            return float((math.sqrt(square) - 1) * radius)
        if radius <= _SMALL_CIRCLE_M:
            return circle_distances(outlines, _one_slot(slot), _one(point.lat), _one(point.lon)).item()
        x0, y0, z0 = _on_earth(outlines.head.item(slot, 1), outlines.head.item(slot, 0))
        x, y, z = point.on_earth
        x, y, z = x - x0, y - y0, z - z0
        return math.sqrt(x * x + y * y + z * z) - chord(radius, outlines.head.item(slot, 1)).item()
    inside = bool(entry & 127) or _covers(outlines, entry, point.lat, point.x)
    far_m = point.depth_m if inside else point.reach_m
    at = point.x, point.lat
    away = _edge_distance(outlines, slot, at, point.scale, far_m)
    if away is None:
        (x, y), (east_m, north_m) = at, point.scale
        scale = _one(east_m), _one(north_m)
        away = polygon_edge_distances(outlines, _one_slot(slot), (_one(x), _one(y)), scale, _one(far_m)).item()
    return -min(away, far_m) if inside else away


def _edge_distance(
    outlines: Outlines, slot: int, at: tuple[float, float], scale: tuple[float, float], far_m: float
) -> float | None:
    """Metres to the nearest edge, infinite beyond `far_m`; None where the shape is not as simple as on a plane."""
    (x, y), (east_m, north_m) = at, scale
    west, south, east, north, rate = outlines.head[slot].tolist()
    if east - west > 180 or abs(x - (west + east) / 2) > 179 or east_m < _LEAST_SCALE:
        return None
    pad_x, pad_y = far_m / east_m, far_m / north_m
    if not (west - pad_x <= x <= east + pad_x and south - pad_y <= y <= north + pad_y):
        return math.inf
    first, slabs = outlines.slab[slot].tolist()
    low, high = (first + int(min(max((level - south) * rate, 0), slabs - 1)) for level in (y - pad_y, y + pad_y))
    begin, end = outlines.slabs.item(low), outlines.slabs.item(high + 1)
    if end - begin > _MOST_EDGES:
        return None
    nearest = math.inf
    for x0, y0, x1, y1 in _edges(outlines, begin, end):
        ax, bx = x0 - x, x1 - x
        if min(ax, bx) > pad_x or max(ax, bx) < -pad_x:
            continue
        ax, bx, ay, by = ax * east_m, bx * east_m, (y0 - y) * north_m, (y1 - y) * north_m
        dx, dy = bx - ax, by - ay
        length = dx * dx + dy * dy
        if length < _CLEAR_LENGTH:
            return None
        along = min(max(-(ax * dx + ay * dy) / length, 0), 1)
        ax, ay = ax + along * dx, ay + along * dy
        nearest = min(nearest, ax * ax + ay * ay)
    metres = math.sqrt(nearest)
    return metres if metres <= far_m else math.inf


def _on_earth(lat: float, lon: float) -> tuple[float, float, float]:
    """`earth.on_ellipsoid` of `earth.unit_vectors`. The sines are numpy's, which are not always those of `math`."""
    phi, lam = lat * RADIANS, lon * RADIANS
    cos_phi, z = float(np.cos(phi)), float(np.sin(phi))
    normal = EQUATOR_M / math.sqrt(1 - E2 * z * z)
    return normal * (cos_phi * float(np.cos(lam))), normal * (cos_phi * float(np.sin(lam))), normal * (1 - E2) * z


def _one(value: float) -> Floats:
    return np.array([value])


def _one_slot(slot: int) -> NDArray[np.int32]:
    return np.array([slot], np.int32)
