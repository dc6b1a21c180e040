"""What is nearest to a place, by distance to its edge: stores with a shape, and stores of which only a point is known.

```
sorted by lat     60.10   60.11   60.17   …        the middle of each item
lon               24.90   25.02   24.94
reach             0       120     64               metres from the middle to the farthest point; 0 for a point
slot              17      3       4
```

An item within the radius has its middle within radius + reach, so its latitude lies in a narrow band, which the sorted
column finds at once; the few items in it are measured. Very large items would widen the band for all: they are always
measured.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.earth import Floats, metres_per_degree, on_ellipsoid, unit_vectors
from geo_service.geofences.index import FenceIndex
from geo_service.geofences.shapes import Circle, Shape

_LARGE_M = 3_000.0
_LEAST_METRES_PER_DEGREE = 110_500.0
"""Of latitude."""
_AT_ONCE = 64
Accept = Callable[[int], bool]


class Nearby:
    """Points and shapes by slot, as in `FenceIndex`."""

    def __init__(self) -> None:
        self._index = FenceIndex()
        self._items = np.full((256, 3), np.nan)
        """By slot: latitude, longitude and reach; nan for an empty one, which sorts last."""
        self._sorted = False
        self._slot = np.empty(0, np.int32)
        self._lat = self._lon = self._reach = np.empty(0)
        self._large = np.empty(0, np.int64)

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
            self._sorted = False

    def _put(self, slot: int, item: tuple[float, float, float]) -> None:
        if slot >= len(self._items):
            more = np.full((slot + 1 + slot // 4 - len(self._items), 3), np.nan)
            self._items = np.concatenate((self._items, more))
        self._items[slot] = item
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
        rows, least = self._candidates(lat, lon, radius_m)
        found: list[tuple[float, int]] = []
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            if len(found) >= k and least[start] > sorted(found)[k - 1][0]:
                break
            if accept is not None:
                part = np.array([row for row in part.tolist() if accept(int(self._slot[row]))], np.int64)
            distance = self._measure(part, lat, lon)
            near = distance <= radius_m
            found.extend(zip(distance[near].tolist(), self._slot[part[near]].tolist(), strict=True))
        return [(slot, distance) for distance, slot in sorted(found)[:k]]

    def _candidates(self, lat: float, lon: float, radius_m: float) -> tuple[NDArray[np.int64], Floats]:
        """Rows that may be within the radius and how near they are at least, by that."""
        band = (radius_m + _LARGE_M) / _LEAST_METRES_PER_DEGREE
        low, high = np.searchsorted(self._lat, (lat - band, lat + band))
        outer = self._large[(self._large < low) | (self._large >= high)]
        rows = np.concatenate((np.arange(low, high), outer))
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
        slots = self._slot[rows[shaped]]
        distance[shaped] = np.maximum(self._index.distances(slots, np.full(size, lat), np.full(size, lon)), 0)
        return distance

    def _sort(self) -> None:
        if self._sorted:
            return
        order = np.argsort(self._items[:, 0])
        order = order[: np.count_nonzero(~np.isnan(self._items[:, 0]))]
        self._lat, self._lon, self._reach = self._items[order].T.copy()
        self._slot = order.astype(np.int32)
        self._large = np.flatnonzero(self._reach > _LARGE_M)
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
