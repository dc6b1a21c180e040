"""Which fences a point is in, near, or a path goes through: columns in, columns out.

This first form leans on shapely's STRtree, rebuilt when fences have changed; the interface is what stays.
"""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_service.geofences.earth import Floats, chord, earth_centred, metres_per_degree
from geo_service.geofences.shapes import Circle, Shape

_TURNS = (0.0, 360.0)


class Pairs(NamedTuple):
    """Which row has to do with which fence; sorted by row, then slot."""

    row: NDArray[np.intp]
    slot: NDArray[np.int32]


class Distances(NamedTuple):
    """Pairs with the signed distance to the fence's edge, in metres, negative inside; sorted by row, then slot."""

    row: NDArray[np.intp]
    slot: NDArray[np.int32]
    distance_m: Floats


class FenceIndex:
    """Fences by slot: a small non-negative number that the caller chooses."""

    def __init__(self) -> None:
        self._shapes: dict[int, Shape] = {}
        self._stale = True

    def put(self, slot: int, shape: Shape) -> None:
        """Set the shape of a slot, new or not."""
        self._shapes[slot] = shape
        self._stale = True

    def remove(self, slot: int) -> None:
        """Forget a slot; one that is not there is fine."""
        self._shapes.pop(slot, None)
        self._stale = True

    def match(self, lat: Floats, lon: Floats) -> Pairs:
        """Every (row, slot) whose fence covers the point; a point on the edge is inside."""
        self._refresh()
        lon = np.where(lon >= 180, lon - 360, lon)
        rows, slots = [], []
        for turn in _TURNS:
            near = self._tree.query(shapely.points(lon + turn, lat), predicate="intersects")
            rows.append(near[0])
            slots.append(self._polygon_slots[near[1]])
        distance = self._circle_distances(lat, lon)
        row, circle = np.nonzero(distance <= 0)
        return _pairs(np.concatenate((*rows, row)), np.concatenate((*slots, self._circle_slots[circle])))

    def within(self, lat: Floats, lon: Floats, reach_m: Floats) -> Distances:
        """Every (row, slot) whose signed distance to the fence's edge is at most `reach_m[row]`."""
        self._refresh()
        lon = np.where(lon >= 180, lon - 360, lon)
        reach_m = np.broadcast_to(np.asarray(reach_m, np.float64), lat.shape)
        found: list[tuple[int, int, float]] = []
        mx, my = metres_per_degree(lat)
        for turn in _TURNS:
            pad_x, pad_y = reach_m / np.maximum(mx, 1e-6), reach_m / my
            x = lon + turn
            near = self._tree.query(shapely.box(x - pad_x, lat - pad_y, x + pad_x, lat + pad_y))
            for row, number in near.T.tolist():
                shape, point = self._polygons[number], shapely.Point(x[row], lat[row])
                here, scale = np.array([x[row], lat[row]]), np.array([mx[row], my[row]])
                edge = shapely.transform(shape.boundary, _Local(here, scale))
                away = float(shapely.distance(edge, shapely.Point(0, 0)))
                signed = -away if shapely.intersects(shape, point) else away
                if signed <= reach_m[row]:
                    found.append((row, int(self._polygon_slots[number]), signed))
        distance = self._circle_distances(lat, lon)
        for row, circle in np.argwhere(distance <= reach_m[:, None]).tolist():
            found.append((row, int(self._circle_slots[circle]), float(distance[row, circle])))
        best: dict[tuple[int, int], float] = {}
        for row, slot, signed in found:
            best[row, slot] = min(signed, best.get((row, slot), np.inf))
        keys = sorted(best)
        return Distances(
            np.array([row for row, _ in keys], np.intp),
            np.array([slot for _, slot in keys], np.int32),
            np.array([best[key] for key in keys], np.float64),
        )

    def crossed(self, lat0: Floats, lon0: Floats, lat1: Floats, lon1: Floats) -> Pairs:
        """Every (row, slot) whose fence the straight segment touches at all, ends included."""
        self._refresh()
        lon0 = np.where(lon0 >= 180, lon0 - 360, lon0)
        lon1 = lon0 + (lon1 - lon0 + 180) % 360 - 180
        rows, slots = [], []
        for turn in (-360.0, 0.0, 360.0):
            ends = np.stack((np.stack((lon0 + turn, lat0), 1), np.stack((lon1 + turn, lat1), 1)), axis=1)
            near = self._tree.query(shapely.linestrings(ends), predicate="intersects")
            rows.append(near[0])
            slots.append(self._polygon_slots[near[1]])
        # Circles: the nearest of the points along the way, at most 10 m apart.
        for row in range(len(lat0)):
            far = np.hypot(*np.subtract(earth_centred(lat0[row], lon0[row]), earth_centred(lat1[row], lon1[row]))[:2])
            along = np.linspace(0, 1, max(int(far / 10) + 2, 2))
            lat, lon = lat0[row] + along * (lat1[row] - lat0[row]), lon0[row] + along * (lon1[row] - lon0[row])
            hit = np.flatnonzero((self._circle_distances(lat, lon) <= 0).any(axis=0))
            rows.append(np.full(len(hit), row))
            slots.append(self._circle_slots[hit])
        return _pairs(np.concatenate(rows), np.concatenate(slots))

    def _refresh(self) -> None:
        if not self._stale:
            return
        polygons = [(slot, shape.geometry) for slot, shape in self._shapes.items() if not isinstance(shape, Circle)]
        circles = [(slot, shape) for slot, shape in self._shapes.items() if isinstance(shape, Circle)]
        self._polygon_slots = np.array([slot for slot, _ in polygons], np.int32)
        self._polygons = [geometry for _, geometry in polygons]
        self._tree = shapely.STRtree(self._polygons)
        self._circle_slots = np.array([slot for slot, _ in circles], np.int32)
        lat = np.array([circle.lat for _, circle in circles], np.float64)
        self._centres = np.stack(earth_centred(lat, np.array([circle.lon for _, circle in circles], np.float64)))
        self._radius = np.array([circle.radius_m for _, circle in circles], np.float64)
        self._chord = chord(self._radius, lat)
        self._stale = False

    def _circle_distances(self, lat: Floats, lon: Floats) -> Floats:
        """(rows, circles) signed distances; the chord's shortfall is given back at the radius."""
        point = np.stack(earth_centred(lat, lon))
        straight = np.sqrt(((point[:, :, None] - self._centres[:, None, :]) ** 2).sum(axis=0))
        return np.asarray(straight - self._chord, np.float64)


class _Local(NamedTuple):
    """Degrees to metres around a point."""

    here: Floats
    scale: Floats

    def __call__(self, positions: Floats) -> Floats:
        return np.asarray((positions - self.here) * self.scale, np.float64)


def _pairs(row: NDArray[np.intp], slot: NDArray[np.int32]) -> Pairs:
    key = np.unique(row.astype(np.int64) << 32 | slot)
    return Pairs((key >> 32).astype(np.intp), (key & 0xFFFFFFFF).astype(np.int32))
