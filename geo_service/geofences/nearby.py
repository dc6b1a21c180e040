"""What is nearest to a place, by distance to its edge: stores with a shape, and stores of which only a point is known.

```
sorted cell    8a11…07fff   8a11…0ffff   …        the H3 cell of the middle of each item
lat, lon       60.10 24.90  60.11 25.02           the middle
reach          0            120                   metres from the middle to the farthest point; 0 for a point
slot           17           3
```

An item within the radius has its middle within radius + reach, so it stands in one of the few ranges of cells that cover
that (`hexagons.py`); the few items in them are measured. Very large items would widen the search for all: they are always
measured.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.earth import Floats, metres_per_degree, on_ellipsoid, unit_vectors
from geo_service.geofences.hexagons import around, cell_of
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.shapes import Circle, Shape

_LARGE_M = 3_000.0
_AT_ONCE = 64
_FIRST_M, _WIDER = 2_000.0, 8
_NOWHERE = np.iinfo(np.int64).max
"""In the place of an empty slot's cell: it sorts last."""
Accept = Callable[[int], bool]


class Nearby:
    """Points and shapes by slot, as in `FenceIndex`."""

    def __init__(self) -> None:
        self._index = FenceIndex()
        self._items = np.full((256, 3), np.nan)
        """By slot: latitude, longitude and reach; nan for an empty one."""
        self._cells = np.full(256, _NOWHERE, np.int64)
        """By slot."""
        self._sorted = False
        self._cell = np.empty(0, np.int64)
        self._slot = np.empty(0, np.int32)
        self._lat = self._lon = self._reach = np.empty(0)
        self._large = np.empty(0, np.int64)
        self._reach_m = 0.0
        """The farthest of those that are not large."""

    def put_point(self, slot: int, lat: float, lon: float) -> None:
        """Set a slot to a point, in degrees."""
        self._index.remove(slot)
        self._put(slot, (lat, lon, 0.0))

    def put_shape(self, slot: int, shape: Shape) -> None:
        """Set a slot to a shape."""
        self._index.put(slot, shape)
        self._put(slot, _middle(shape))

    def remove(self, slot: int) -> None:
        """Forget a slot; one that is not there is fine."""
        self._index.remove(slot)
        if slot < len(self._items):
            self._items[slot] = np.nan
            self._cells[slot] = _NOWHERE
            self._sorted = False

    def _put(self, slot: int, item: tuple[float, float, float]) -> None:
        if slot >= len(self._items):
            more = slot + 1 + slot // 4 - len(self._items)
            self._items = np.concatenate((self._items, np.full((more, 3), np.nan)))
            self._cells = np.concatenate((self._cells, np.full(more, _NOWHERE, np.int64)))
        self._items[slot] = item
        self._cells[slot] = cell_of(item[0], item[1])
        self._sorted = False

    def covering(self, lat: float, lon: float) -> list[int]:
        """The slots whose shapes cover the place, ascending."""
        return [int(slot) for slot in self._index.match(np.array([lat]), np.array([lon])).slot]

    def nearest(
        self, lat: float, lon: float, radius_m: float, k: int, accept: Accept | None = None
    ) -> list[tuple[int, float]]:
        """Up to `k` of `(slot, metres to its edge)` within the radius, nearest first; 0.0 inside a shape.

        `accept` is asked about slots, nearest first or nearly so, until there are enough; about each at most once.
        """
        self._sort()
        answers: dict[int, bool] = {}

        def wanted(slot: int) -> bool:
            if accept is not None and slot not in answers:
                answers[slot] = accept(slot)
            return answers.get(slot, True)

        # Widen until there are enough: in a city the radius may hold thousands of which the nearest few are asked for.
        within_m = min(radius_m, _FIRST_M)
        while True:
            found = self._within(lat, lon, within_m, k, wanted)
            if len(found) >= k or within_m >= radius_m:
                return [(slot, distance) for distance, slot in found[:k]]
            within_m = min(within_m * _WIDER, radius_m)

    def _within(self, lat: float, lon: float, radius_m: float, k: int, wanted: Accept) -> list[tuple[float, int]]:
        """At least the `k` nearest within the radius, or all."""
        rows, least = self._candidates(lat, lon, radius_m)
        found: list[tuple[float, int]] = []
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            if len(found) >= k and least[start] > found[k - 1][0]:
                break
            part = np.array([row for row in part.tolist() if wanted(int(self._slot[row]))], np.int64)
            distance = self._measure(part, lat, lon)
            near = distance <= radius_m
            found.extend(zip(distance[near].tolist(), self._slot[part[near]].tolist(), strict=True))
            found.sort()
        return found

    def _candidates(self, lat: float, lon: float, radius_m: float) -> tuple[NDArray[np.int64], Floats]:
        """Rows that may be within the radius and how near they are at least, by that."""
        ranges = around(lat, lon, radius_m + self._reach_m)
        if ranges is None:
            rows = np.arange(len(self._cell))
        else:
            low, high = np.searchsorted(self._cell, ranges.first), np.searchsorted(self._cell, ranges.last, "right")
            some = np.flatnonzero(low < high).tolist()
            rows = np.unique(np.concatenate([self._large, *(np.arange(low[row], high[row]) for row in some)]))
        least = np.maximum(self._straight(rows, lat, lon) - self._reach[rows], 0)
        # The chord is a little shorter than the way over ground, so nothing is lost.
        order = np.flatnonzero(least <= radius_m)
        order = order[np.argsort(least[order], kind="stable")]
        return rows[order], least[order]

    def _straight(self, rows: NDArray[np.int64], lat: float, lon: float) -> Floats:
        here = on_ellipsoid(unit_vectors(np.array([lat]), np.array([lon])))
        there = on_ellipsoid(unit_vectors(self._lat[rows], self._lon[rows]))
        return np.asarray(np.sqrt(((there - here) ** 2).sum(axis=0)))

    def _measure(self, rows: NDArray[np.int64], lat: float, lon: float) -> Floats:
        """Metres to the edge."""
        distance = self._straight(rows, lat, lon)
        shaped = np.flatnonzero(self._reach[rows] > 0)
        size = len(shaped)
        if not size:
            return distance
        slots = self._slot[rows[shaped]]
        distance[shaped] = np.maximum(self._index.distances(slots, np.full(size, lat), np.full(size, lon)), 0)
        return distance

    def _sort(self) -> None:
        if self._sorted:
            return
        order = np.argsort(self._cells, kind="stable")
        order = order[: np.count_nonzero(self._cells != _NOWHERE)]
        self._cell = self._cells[order]
        self._lat, self._lon, self._reach = self._items[order].T.copy()
        self._slot = order.astype(np.int32)
        self._large = np.flatnonzero(self._reach > _LARGE_M)
        self._reach_m = float(np.max(self._reach, where=self._reach <= _LARGE_M, initial=0.0))
        self._sorted = True


def _middle(shape: Shape) -> tuple[float, float, float]:
    """Latitude and longitude of the middle of a shape, and how far it reaches from there, generously."""
    if isinstance(shape, Circle):
        return shape.lat, shape.lon, shape.radius_m
    west, south, east, north = shape.bounds
    lat, lon = (south + north) / 2, (west + east) / 2
    # A box is widest where it is nearest to the equator.
    widest = min(abs(south), abs(north)) if south * north > 0 else 0.0
    per_lon = float(metres_per_degree(np.array([widest]))[0][0])
    return lat, lon, 1.01 * float(np.hypot((east - west) / 2 * per_lon, (north - south) / 2 * 111_700)) + 1
