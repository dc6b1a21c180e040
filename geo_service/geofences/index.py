"""Which fences a point is in, near, or a path goes through: columns in, columns out.

```
lat, lon ──► cells of the grid ──► entries of each cell ──► full: inside, no test
 (n,)           cells.py              celltable.py            edge: the exact test ──► row, slot
                                          ▲                         exact.py
                                          │                            ▲
put(slot, shape) ──► cells of the shape   │                            │
              │        cover.py ──────────┘                            │
              └────► edges in bands of latitude ───────────────────────┘
                     outlines.py
```

Most fences are listed at the finest level of the grid; the larger ones at a coarser one, each level in a table of its own,
and a point is looked up in all that have fences. What was put or removed since is brought in before the next question is
answered, many at once (`_settle`). Nothing is ever built anew.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arena import Ints, grown, sorted_unique
from geo_service.geofences.cells import LEVELS, page_and_spot, page_and_spot_at, place_of
from geo_service.geofences.celltable import CODE_UNIT_M, SLOTS, CellTable, entries_of
from geo_service.geofences.cover import cover
from geo_service.geofences.earth import Floats, metres_per_degree
from geo_service.geofences.exact import (
    circle_centres,
    circle_distances,
    circles_cover,
    polygon_edge_distances,
    polygons_cover,
    segments_touch,
)
from geo_service.geofences.outlines import CIRCLE, NONE, Outlines
from geo_service.geofences.samples import of_discs, of_paths
from geo_service.geofences.shapes import Shape
from geo_service.geofences.strips import NEAR_M, cells_in, circle_boxes, padded, strips_of

_FEW, _MANY = 64, 512
"""How many changes are brought in at once: few between questions, so that none waits long; many while loading."""
_CIRCLE_BIT = 128


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
        self._tables = [CellTable() for _ in range(LEVELS)]
        self._outlines = Outlines()
        self._pending: dict[int, Shape | None] = {}
        """What was put (a shape) or removed (None) and is not brought in yet."""
        self._at_once = _MANY
        self._level = np.zeros(256, np.uint8)
        """By slot: the level at which it is listed."""
        self._fences_at = np.zeros(LEVELS, np.int64)
        """How many fences are listed at each level."""

    def put(self, slot: int, shape: Shape) -> None:
        """Set the shape of a slot, new or not.

        Raises:
            ValueError: slots are 0 to 8 388 607.
        """
        if not 0 <= slot < SLOTS:
            raise ValueError(f"slot {slot} is not within 0 to {SLOTS - 1}")
        self._pending[slot] = shape
        if len(self._pending) >= self._at_once:
            self._bring_in_pending()
            self._at_once = min(2 * self._at_once, _MANY)

    def remove(self, slot: int) -> None:
        """Forget a slot; one that is not there is fine."""
        self._pending[slot] = None

    def match(self, lat: Floats, lon: Floats) -> Pairs:
        """Every (row, slot) whose fence covers the point (finite degrees); a point on the edge is inside."""
        self._settle()
        parts = [self._match(level, lat, lon) for level in self._used()]
        if len(parts) == 1:
            return parts[0]
        return _sorted(parts)

    def _match(self, level: int, lat: Floats, lon: Floats) -> Pairs:
        """The same for the fences of one level."""
        row, entry = self._tables[level].look(*page_and_spot(place_of(lat, lon), level))
        inside = (entry & 127) != 0
        tested = np.flatnonzero(~inside)
        inside[tested] = self._covers(entry.take(tested), row.take(tested), lat, lon)
        kept = np.flatnonzero(inside)
        return Pairs(row.take(kept), entry.take(kept) >> 8)

    def within(self, lat: Floats, lon: Floats, reach_m: Floats, depth_m: Floats | None = None) -> Distances:
        """Every (row, slot) whose signed distance to the fence's edge is at most `reach_m[row]`.

        Distances down to `-depth_m[row]` are true to 1 % or 0.5 m, whichever is more; one below says only that the point is
        at least `depth_m` inside, which is much cheaper to know. Without `depth_m` all are true.
        """
        self._settle()
        depth_m = np.full(len(lat), np.inf) if depth_m is None else np.maximum(depth_m, 0)
        row, entry = self._around(lat, lon, reach_m)
        slot, code, depth = entry >> 8, entry & 127, depth_m.take(row)
        distance = np.full(len(row), np.inf)
        bound = (code - 1) * CODE_UNIT_M
        deep = (code > 0) & (bound >= depth)
        distance[deep] = -bound[deep]
        is_circle = entry & _CIRCLE_BIT != 0
        pairs = np.flatnonzero(is_circle & ~deep)
        rows = row.take(pairs)
        distance[pairs] = circle_distances(self._outlines, slot.take(pairs), lat.take(rows), lon.take(rows))
        pairs = np.flatnonzero(~is_circle & ~deep)
        rows, slots = row.take(pairs), slot.take(pairs)
        x, y = _east(lon).take(rows), lat.take(rows)
        inside = code.take(pairs) > 0
        tested = np.flatnonzero(~inside)
        inside[tested] = polygons_cover(self._outlines, slots.take(tested), x.take(tested), y.take(tested))
        far = np.where(inside, depth.take(pairs), reach_m.take(rows))
        away = polygon_edge_distances(self._outlines, slots, (x, y), metres_per_degree(y), far)
        distance[pairs] = np.where(inside, -np.minimum(away, far), away)
        kept = np.flatnonzero(distance <= reach_m.take(row))
        kept = kept[np.argsort(row.take(kept) << 23 | slot.take(kept))]
        return Distances(row.take(kept), slot.take(kept), distance.take(kept))

    def distances(self, slots: NDArray[np.int32], lat: Floats, lon: Floats, far_m: Floats | None = None) -> Floats:
        """Signed metres from points to the edges of these fences, pair by pair, to 1 %.

        Either way `far_m`, if given, may stand for whatever is farther: that is cheaper to know.

        Raises:
            KeyError: a slot is empty.
        """
        self._settle()
        kinds = self._outlines.kind[slots]
        if (kinds == NONE).any():
            raise KeyError(int(slots[np.argmin(kinds)]))
        distance = np.empty(len(slots))
        pairs = np.flatnonzero(kinds == CIRCLE)
        distance[pairs] = circle_distances(self._outlines, slots[pairs], lat[pairs], lon[pairs])
        pairs = np.flatnonzero(kinds != CIRCLE)
        at, some = (_east(lon[pairs]), lat[pairs]), slots[pairs]
        head = self._outlines.head[some]
        # Flat as it is half-way to the shape: a degree of longitude is another thing there than here.
        scale = metres_per_degree((at[1] + np.clip(at[1], head[:, 1], head[:, 3])) / 2)
        limit = np.full(len(some), np.inf) if far_m is None else far_m[pairs]
        away = np.minimum(polygon_edge_distances(self._outlines, some, at, scale, limit), limit)
        distance[pairs] = np.where(polygons_cover(self._outlines, some, *at), -away, away)
        return distance

    def listed_at(self, lat: float, lon: float) -> tuple[list[int], list[int]]:
        """Entries of one point's cells (see `celltable.py`): of fences that reach into them, and that only come near."""
        self._settle()
        reaching: list[int] = []
        near: list[int] = []
        for level, fences in enumerate(self._fences_at.tolist()):
            if fences:
                found = self._tables[level].look_at(*page_and_spot_at(lat, lon, level))
                reaching += found[0]
                near += found[1]
        return reaching, near

    @property
    def outlines(self) -> Outlines:
        """The fences' geometry, for questions of one point (`alone.py`)."""
        return self._outlines

    def crossed(self, lat0: Floats, lon0: Floats, lat1: Floats, lon1: Floats) -> Pairs:
        """Every (row, slot) whose fence the straight segment touches at all, ends included.

        The segment is straight in degrees, as edges are, and goes the short way round.
        """
        self._settle()
        lon0 = _east(lon0)
        lon1 = np.where(np.abs(lon1 - lon0) > 180, lon1 + np.where(lon1 < lon0, 360, -360), lon1)
        paths = of_paths((lat0, lon0), (lat1, lon1), 2 * NEAR_M)
        sample, entry = self._listed(paths.samples.lat, paths.samples.lon)
        row, slot, is_circle = paths.samples.row.take(sample), entry >> 8, entry & _CIRCLE_BIT != 0
        pairs = np.flatnonzero(is_circle)
        centre, chord_m = circle_centres(self._outlines, slot.take(pairs))
        hit = pairs[paths.pieces_to(sample.take(pairs), centre) <= chord_m]
        one = _distinct(row[~is_circle], slot[~is_circle])
        begin = lon0[one.row], lat0[one.row]
        touched = polygons_cover(self._outlines, one.slot, *begin)
        for turn in (-360.0, 0.0, 360.0):
            moved = begin[0] + turn, begin[1]
            touched |= segments_touch(self._outlines, one.slot, moved, (lon1[one.row] + turn, lat1[one.row]))
        return _distinct(np.concatenate((row[hit], one.row[touched])), np.concatenate((slot[hit], one.slot[touched])))

    def _around(self, lat: Floats, lon: Floats, reach_m: Floats) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Row and entry of all fences that may be within reach; an entry's code is that of a full cell, or 0."""
        row, entry, near = self._look_around(lat, lon)
        reach = reach_m.take(row)
        kept = np.flatnonzero((~near | ((entry & 127) * CODE_UNIT_M <= reach)) & (reach <= NEAR_M))
        row, entry = row.take(kept), np.where(near, entry & ~127, entry).take(kept)
        far = np.flatnonzero(reach_m > NEAR_M)
        if len(far):
            samples = of_discs(lat[far], lon[far], reach_m[far], NEAR_M)
            sample, more = self._listed(samples.lat, samples.lon)
            key = sorted_unique(far[samples.row[sample]] << 32 | more)
            row = np.concatenate((row, key >> 32))
            entry = np.concatenate((entry, (key & 0xFFFFFFFF).astype(np.int32)))
        return row, entry

    def _listed(self, lat: Floats, lon: Floats) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Point and entry of all fences listed in the points' cells; entries without their codes."""
        row, entry, _ = self._look_around(lat, lon)
        return row, entry & ~127

    def _look_around(self, lat: Floats, lon: Floats) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.bool_]]:
        """Row and entry of all fences listed in the points' cells, and which only come near."""
        place = place_of(lat, lon)
        found = [self._tables[level].look_around(*page_and_spot(place, level)) for level in self._used()]
        if len(found) == 1:
            return found[0]
        row, entry, near = (np.concatenate(columns) for columns in zip(*found, strict=True))
        return row, entry, near

    def _covers(self, entry: NDArray[np.int32], row: Ints, lat: Floats, lon: Floats) -> NDArray[np.bool_]:
        """The exact test, for pairs of a row and an entry."""
        y, x = lat.take(row), _east(lon.take(row))
        slot, is_circle = entry >> 8, entry & _CIRCLE_BIT != 0
        inside = np.empty(len(entry), np.bool_)
        pairs = np.flatnonzero(is_circle)
        inside[pairs] = circles_cover(self._outlines, slot.take(pairs), y.take(pairs), x.take(pairs))
        pairs = np.flatnonzero(~is_circle)
        inside[pairs] = polygons_cover(self._outlines, slot.take(pairs), x.take(pairs), y.take(pairs))
        return inside

    def _used(self) -> list[int]:
        """The levels that have fences; the finest one if none has."""
        used = np.flatnonzero(self._fences_at).tolist()
        return used or [0]

    def _settle(self) -> None:
        """Bring in what changed, before a question is answered."""
        self._at_once = _FEW
        if self._pending:
            self._bring_in_pending()

    def _bring_in_pending(self) -> None:
        pending, self._pending = self._pending, {}
        slots = np.array(list(pending), np.int32)
        self._reserve(int(slots.max()) + 1)
        self._take_out(slots[self._outlines.kind[slots] != NONE])
        coming = [(slot, shape) for slot, shape in pending.items() if shape is not None]
        if coming:
            self._bring_in(np.array([slot for slot, _ in coming], np.int32), [shape for _, shape in coming])

    def _reserve(self, slots: int) -> None:
        self._outlines.reserve(slots)
        if slots > len(self._level):
            self._level = grown(self._level, slots)

    def _take_out(self, slots: NDArray[np.int32]) -> None:
        if len(slots) == 0:
            return
        # What a fence was listed in is not kept, but known: cells in its box.
        head = self._outlines.head[slots]
        boxes = head[:, :4].copy()
        circles = self._outlines.kind[slots] == CIRCLE
        boxes[circles] = circle_boxes(head[circles, 1], head[circles, 0], head[circles, 4])
        leaving = np.zeros(len(self._level), np.bool_)
        leaving[slots] = True
        levels = self._level[slots].astype(np.int64)
        for level in np.unique(levels).tolist():
            some = padded(boxes[levels == level])[0]
            self._tables[level].take_out(cells_in(strips_of(some, np.full(len(some), level))), leaving)
        self._outlines.remove(slots)
        self._fences_at -= np.bincount(levels, minlength=LEVELS)

    def _bring_in(self, slots: NDArray[np.int32], shapes: list[Shape]) -> None:
        self._outlines.put(slots, shapes)
        cells, levels = cover(shapes)
        circle = self._outlines.kind[slots] == CIRCLE
        entries = entries_of(slots[cells.owner], circle[cells.owner], cells.code)
        at = levels[cells.owner]
        for level in np.unique(levels).tolist():
            mine = np.flatnonzero(at == level)
            self._tables[level].add(cells.cell[mine], entries[mine], cells.near[mine])
        self._level[slots] = levels
        self._fences_at += np.bincount(levels, minlength=LEVELS)


def covers(shape: Shape, lat: Floats, lon: Floats) -> NDArray[np.bool_]:
    """Whether one shape, listed anywhere or not, covers points; exactly as `FenceIndex.match` would say."""
    outlines = Outlines(1)
    outlines.put(np.zeros(1, np.int32), [shape])
    slots = np.zeros(len(lat), np.int32)
    if outlines.kind[0] == CIRCLE:
        return circles_cover(outlines, slots, lat, _east(lon))
    return polygons_cover(outlines, slots, _east(lon), lat)


def _east(lon: Floats) -> Floats:
    """Longitudes in [-180, 180)."""
    beyond = lon >= 180
    return np.where(beyond, lon - 360, lon) if beyond.any() else lon


def _distinct(row: NDArray[np.intp], slot: NDArray[np.int32]) -> Pairs:
    key = sorted_unique(row << 23 | slot)
    return Pairs(key >> 23, (key & (SLOTS - 1)).astype(np.int32))


def _sorted(parts: list[Pairs]) -> Pairs:
    row, slot = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = row << 23 | slot
    order.sort()
    return Pairs(order >> 23, (order & (SLOTS - 1)).astype(np.int32))
