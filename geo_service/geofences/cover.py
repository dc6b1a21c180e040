"""From shapes to the cells that have to do with them, for many shapes at once.

A cell is a rectangle of degrees, and so is the plane in which edges are straight; nothing is projected. Each shape's box,
`NEAR_M` wider, is cut into strips, one for each row of cells, and each edge is held against the few cells around it:

```
                 ┌────┬────┬────┬────┐     gap, the distance from the cell to the nearest edge, decides:
strip (a row) →  │    │ 12 │  4 │    │
                 ├────┼──/─┼────┼────┤     0               the edge may pass through: points need the exact test
                 │ 15 │ /0 │  9 │    │     > 0, inside     the cell is full: its points need no test
                 ├────┼/───┼────┼────┤     ≤ 40, outside   the cell is near
                 │  0 │  7 │    │    │     > 40, outside   not listed
                 └────┴────┴────┴────┘
```

Inside or not is decided for a cell's middle: how many edges cross the strip's middle line to the west of it. The gap is that
of the axis that separates cell and edge best (Gottschalk, Lin, Manocha, OBBTree, 1996), so never more than the true one.
Circles are measured from their centre to the cell's middle. Every doubt goes to the safe side: a full or empty cell may
be called an edge cell, never the other way round; where a shape's row
of cells goes all the way round and meets itself, all are edge cells.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arena import Ints, spread
from geo_service.geofences.cells import (
    COLUMN_BITS,
    COLUMNS_PER_DEGREE,
    LEVELS,
    ROW_BITS,
    ROWS_PER_DEGREE,
    STEP,
    cell_of,
    joined,
)
from geo_service.geofences.celltable import CODE_UNIT_M, HIGHEST_CODE
from geo_service.geofences.earth import Floats, chord, metres_per_degree, on_ellipsoid, unit_vectors
from geo_service.geofences.shapes import Circle, Polygons, Shape

NEAR_M = 40.0
"""A fence is listed in every cell that comes this near it."""
MOST_CELLS = 1024
"""In the box of a shape, at the level that is chosen for it; more only at the coarsest."""
_MOST_WORK, _FEWEST_CELLS = 1 << 21, 64
"""Edges times cells of one shape: the pairs that a hostile one can ask for. So a shape of very many edges gets fewer cells."""
_PAIRS_AT_ONCE, _POSITIONS_AT_ONCE = 1 << 16, 1 << 14
_SLACK_M = 0.001
"""What rounding may cost."""
_LEAST_METRES_NORTH, _MOST_METRES_NORTH = 110_570.0, 111_700.0
"""Per degree of latitude, anywhere."""
_POLAR = 89.9
"""Beyond this latitude a box takes the whole round."""
_GENEROUS = 1.001


class Cover(NamedTuple):
    """Cells of shapes, one row each; no shape has a cell twice."""

    owner: Ints
    """Which of the shapes; ascending."""
    cell: Ints
    """Page · 64 + spot, see `cells.cell_of`."""
    code: NDArray[np.int32]
    """As in `celltable.py`."""
    near: NDArray[np.bool_]


class Strips(NamedTuple):
    """Rows of cells in the boxes of shapes, at each shape's level, from south to north."""

    first: Ints
    """By shape: its first strip, and one more at the end."""
    owner: Ints
    row: Ints
    bits: Ints
    """By how many bits a column is coarser than the finest."""
    west: Ints
    """The first column; may be below 0 or beyond the last one, for a shape's plane does not end at 180°."""
    size: Ints
    round: NDArray[np.bool_]
    """Whether the strip goes all the way round and meets itself."""


def boxes_of(shapes: Sequence[Shape]) -> Floats:
    """(n, 4): west, south, east, north of shapes, in their plane, generously for circles."""
    boxes = np.empty((len(shapes), 4))
    polygons = [number for number, shape in enumerate(shapes) if isinstance(shape, Polygons)]
    if polygons:
        some = [shape.positions for shape in shapes if isinstance(shape, Polygons)]
        positions = np.concatenate(some)
        firsts = np.cumsum([0, *map(len, some[:-1])])
        boxes[polygons, :2] = np.minimum.reduceat(positions, firsts)
        boxes[polygons, 2:] = np.maximum.reduceat(positions, firsts)
    circles = [number for number, shape in enumerate(shapes) if isinstance(shape, Circle)]
    if circles:
        boxes[circles] = circle_boxes(*_circle_columns([shapes[number] for number in circles]))
    return boxes


def circle_boxes(lat: Floats, lon: Floats, radius_m: Floats) -> Floats:
    """Boxes of circles."""
    up = radius_m / _LEAST_METRES_NORTH * _GENEROUS
    across = _degrees_across(radius_m * _GENEROUS, np.abs(lat) + up)
    return np.stack((lon - across, lat - up, lon + across, lat + up), axis=1)


def _degrees_across(metres: Floats | float, highest_lat: Floats) -> Floats:
    """Degrees of longitude that are at least so many metres at a latitude and below it."""
    across = metres / metres_per_degree(np.minimum(highest_lat, _POLAR))[0]
    return np.asarray(np.where(highest_lat < _POLAR, across, 360.0))


def _circle_columns(circles: Sequence[Shape]) -> tuple[Floats, Floats, Floats]:
    columns = [(shape.lat, shape.lon, shape.radius_m) for shape in circles if isinstance(shape, Circle)]
    lat, lon, radius = np.array(columns, np.float64).reshape(-1, 3).T
    return lat, lon, radius


def padded(boxes: Floats) -> tuple[Floats, Floats]:
    """The boxes, `NEAR_M` wider on each side, and by how many degrees of longitude that is."""
    up = NEAR_M / _LEAST_METRES_NORTH
    wide = boxes + np.array([0, -up, 0, up])
    pad = _degrees_across(NEAR_M, np.abs(wide[:, 1::2]).max(axis=1))
    wide[:, 0] -= pad
    wide[:, 2] += pad
    return wide, pad


def levels_of(boxes: Floats, positions: Ints) -> Ints:
    """The finest level at which each (padded) box of a shape with so many positions has few cells enough."""
    most = np.clip(_MOST_WORK // positions, _FEWEST_CELLS, MOST_CELLS)
    south, north = _rows(boxes)
    straddles = (south < 1 << ROW_BITS - 1) & (north >= 1 << ROW_BITS - 1)
    middle = 1 << ROW_BITS - 1
    lowest = np.where(straddles, middle, np.where(south >= middle, south, north)).astype(np.int32)
    level = np.full(len(boxes), LEVELS - 1)
    for candidate in range(LEVELS - 2, -1, -1):
        bits = joined(lowest, candidate)
        west, east = _columns(boxes[:, 0], boxes[:, 2], bits)
        across = np.minimum(east - west + 1, 1 << COLUMN_BITS - bits)
        rows = (north >> STEP * candidate) - (south >> STEP * candidate) + 1
        level[across * rows <= most] = candidate
    return level


def strips_of(boxes: Floats, level: Ints) -> Strips:
    """The strips of (padded) boxes."""
    south, north = (row >> STEP * level for row in _rows(boxes))
    rows = north - south + 1
    owner = np.repeat(np.arange(len(boxes)), rows)
    row = spread(south, rows)
    bits = np.zeros(len(row), np.int64)
    mine = level[owner]
    for each in np.unique(level).tolist():
        at = np.flatnonzero(mine == each)
        bits[at] = joined((row[at] << STEP * each).astype(np.int32), each)
    west, east = _columns(boxes[owner, 0], boxes[owner, 2], bits)
    columns, count = 1 << COLUMN_BITS - bits, east - west + 1
    first = np.concatenate(([0], np.cumsum(rows)))
    return Strips(first, owner, row, bits, west, np.minimum(count, columns), count > columns)


def cells_in(strips: Strips) -> Ints:
    """The cells of strips, one strip after another."""
    column = spread(strips.west, strips.size)
    column &= np.repeat((1 << COLUMN_BITS - strips.bits) - 1, strips.size)
    return cell_of(np.repeat(strips.row, strips.size), column)


def _rows(boxes: Floats) -> tuple[Ints, Ints]:
    most = (1 << ROW_BITS) - 1
    rows = np.clip(np.floor((boxes[:, 1::2] + 90) * ROWS_PER_DEGREE), 0, most).astype(np.int64)
    return rows[:, 0], rows[:, 1]


def _columns(west: Floats, east: Floats, bits: NDArray[np.integer]) -> tuple[Ints, Ints]:
    first, last = (np.floor((lon + 180) * COLUMNS_PER_DEGREE).astype(np.int64) for lon in (west, east))
    return first >> bits, last >> bits


def cover(shapes: Sequence[Shape]) -> tuple[Cover, Ints]:
    """The cells of each shape, and the level of each; at least one shape."""
    positions = np.array([len(shape.positions) if isinstance(shape, Polygons) else 1 for shape in shapes])
    boxes, pad = padded(boxes_of(shapes))
    level = levels_of(boxes, positions)
    # A part at a time, so that the pairs of edge and cell stay in the cache.
    cuts = np.flatnonzero(np.diff(np.cumsum(positions) // _POSITIONS_AT_ONCE)) + 1
    parts = []
    for part in np.split(np.arange(len(shapes)), cuts):
        found = _cover([shapes[number] for number in part.tolist()], boxes[part], pad[part], level[part])
        parts.append(found._replace(owner=part[found.owner]))
    return Cover(*(np.concatenate(columns) for columns in zip(*parts, strict=True))), level


def _cover(shapes: Sequence[Shape], boxes: Floats, pad: Floats, level: Ints) -> Cover:
    strips = strips_of(boxes, level)
    begins = np.concatenate(([0], np.cumsum(strips.size)))
    east_m, _ = metres_per_degree(np.minimum(np.abs(boxes[:, 1::2]).max(axis=1), 90.0))
    frame = _Frame(strips, level[strips.owner], begins, pad, east_m)
    # Gaps of more than NEAR_M are not told apart but for circles.
    gap, inside = np.full(begins[-1], NEAR_M * _GENEROUS), np.zeros(begins[-1], np.bool_)
    circles = np.array([isinstance(shape, Circle) for shape in shapes])
    if circles.any():
        _measure_circles(frame, np.flatnonzero(circles), shapes, gap, inside)
    if not circles.all():
        _measure_polygons(frame, np.flatnonzero(~circles), shapes, gap, inside)
    gap[np.repeat(strips.round, strips.size)] = 0
    touching = gap <= _SLACK_M
    code = np.minimum(gap * (1 / CODE_UNIT_M), HIGHEST_CODE - 1).astype(np.int32) + inside
    code[touching] = 0
    kept = np.flatnonzero(touching | inside | (gap <= NEAR_M))
    owner = np.repeat(strips.owner, strips.size)
    near = ~(touching | inside)
    return Cover(owner[kept], cells_in(strips)[kept], code[kept], near[kept])


class _Frame(NamedTuple):
    """The strips of some shapes and how to measure on them."""

    strips: Strips
    level: Ints
    """By strip."""
    begins: Ints
    """By strip: its first cell, and one more at the end."""
    pad: Floats
    """By shape: the degrees of longitude that `NEAR_M` are."""
    east_m: Floats
    """By shape: metres per degree of longitude, at least."""

    def size(self, strip: Ints | slice) -> tuple[Floats, Floats]:
        """Width and height of a strip's cells, in degrees."""
        return (1 << self.strips.bits[strip]) / COLUMNS_PER_DEGREE, (1 << STEP * self.level[strip]) / ROWS_PER_DEGREE

    def middle(self, strip: Ints) -> Floats:
        """Latitude of a strip's middle line."""
        return np.asarray((self.strips.row[strip] + 0.5) * self.size(strip)[1] - 90)


def _measure_circles(
    frame: _Frame, circles: Ints, shapes: Sequence[Shape], gap: Floats, inside: NDArray[np.bool_]
) -> None:
    """Gaps from cells to circles' edges."""
    lat, lon, radius = _circle_columns([shapes[number] for number in circles.tolist()])
    first = frame.strips.first
    strip = spread(first[circles], first[circles + 1] - first[circles])
    mine = np.repeat(np.arange(len(circles)), first[circles + 1] - first[circles])
    width, height = frame.size(strip)
    middle = frame.middle(strip)
    nearest_equator = np.maximum(np.abs(middle) - height / 2, 0)
    across = width * metres_per_degree(nearest_equator)[0]
    reach = np.hypot(across, height * _MOST_METRES_NORTH) / 2
    count = frame.strips.size[strip]
    cell = spread(frame.begins[strip], count)
    which = np.repeat(np.arange(len(strip)), count)
    x = (spread(frame.strips.west[strip], count) + 0.5) * width[which] - 180
    centre = on_ellipsoid(unit_vectors(lat, lon))[:, mine[which]]
    straight = np.sqrt(((on_ellipsoid(unit_vectors(middle[which], x)) - centre) ** 2).sum(axis=0))
    signed = straight - chord(radius, lat)[mine[which]]
    inside[cell] = signed < 0
    gap[cell] = np.maximum(np.abs(signed) - reach[which], 0)


def _measure_polygons(
    frame: _Frame, polygons: Ints, shapes: Sequence[Shape], gap: Floats, inside: NDArray[np.bool_]
) -> None:
    """Gaps from cells to polygons' edges."""
    edges = _edges([shape for shape in shapes if isinstance(shape, Polygons)], polygons)
    # Each edge in each strip that it comes within NEAR_M of.
    strips, pad_y, owner = frame.strips, NEAR_M / _LEAST_METRES_NORTH, edges.owner
    first, count = strips.first[owner], strips.first[owner + 1] - strips.first[owner]
    rate = ROWS_PER_DEGREE / (1 << STEP * frame.level[first])
    low, high = (
        np.clip(np.floor((lat + 90) * rate).astype(np.int64) - strips.row[first], 0, count - 1)
        for lat in (np.minimum(edges.y0, edges.y1) - pad_y, np.maximum(edges.y0, edges.y1) + pad_y)
    )
    pieces = edges.rows(np.repeat(np.arange(len(owner)), high - low + 1))
    strip = spread(first + low, high - low + 1)
    slope = (pieces.x1 - pieces.x0) / np.where(pieces.y1 == pieces.y0, 1, pieces.y1 - pieces.y0)
    _fill(frame, strip, pieces, slope, inside)
    # And in each cell of the strip.
    width, height = frame.size(strip)
    reach = height / 2 + pad_y
    west, east = _beside(pieces, slope, frame.middle(strip), reach)
    west, east = (
        np.clip(np.floor((lon + 180) / width).astype(np.int64) - strips.west[strip], 0, strips.size[strip] - 1)
        for lon in (west - frame.pad[pieces.owner], east + frame.pad[pieces.owner])
    )
    count = np.where(strips.round[strip], 0, east - west + 1)
    cuts = np.flatnonzero(np.diff(np.cumsum(count) // _PAIRS_AT_ONCE)) + 1
    for part in np.split(np.arange(len(strip)), cuts):
        row = np.repeat(part, count[part])
        column, mine = spread(west[part], count[part]), strip[row]
        at = (column + strips.west[mine] + 0.5) * width[row] - 180, frame.middle(mine)
        metres = frame.east_m[pieces.owner[row]], _LEAST_METRES_NORTH
        np.minimum.at(gap, frame.begins[mine] + column, _gaps(pieces.rows(row), at, (width[row], height[row]), metres))


class _Edges(NamedTuple):
    """Edges of shapes."""

    x0: Floats
    y0: Floats
    x1: Floats
    y1: Floats
    owner: Ints

    def rows(self, rows: Ints) -> "_Edges":
        """These ones."""
        x0, y0, x1, y1, owner = self
        return _Edges(x0[rows], y0[rows], x1[rows], y1[rows], owner[rows])


def _beside(edges: _Edges, slope: Floats, middle: Floats, reach: Floats) -> tuple[Floats, Floats]:
    """Least and greatest longitude of the part of each edge that is within `reach` of a latitude."""
    low, high = np.minimum(edges.y0, edges.y1), np.maximum(edges.y0, edges.y1)
    one, other = (
        edges.x0 + (np.clip(level, low, high) - edges.y0) * slope for level in (middle - reach, middle + reach)
    )
    flat = edges.y0 == edges.y1
    one, other = np.where(flat, edges.x0, one), np.where(flat, edges.x1, other)
    return np.minimum(one, other), np.maximum(one, other)


def _edges(shapes: Sequence[Polygons], numbers: Ints) -> _Edges:
    """Every edge of shapes that go by these numbers."""
    counts = np.array([len(shape.positions) for shape in shapes])
    positions = np.concatenate([shape.positions for shape in shapes])
    rings = np.array([len(shape.ring_starts) - 1 for shape in shapes])
    ends = np.concatenate([shape.ring_starts[1:] for shape in shapes]) + np.repeat(np.cumsum(counts) - counts, rings)
    is_edge = np.ones(len(positions), np.bool_)
    is_edge[ends - 1] = False
    edge = np.flatnonzero(is_edge)
    (x0, y0), (x1, y1) = positions[edge].T, positions[edge + 1].T
    return _Edges(x0, y0, x1, y1, np.repeat(numbers, counts)[edge])


def _fill(frame: _Frame, strip: Ints, edges: _Edges, slope: Floats, inside: NDArray[np.bool_]) -> None:
    """Mark the cells whose middles are inside, by how many edges cross the strip's middle line before them."""
    middle = frame.middle(strip)
    crossing = np.flatnonzero((edges.y0 <= middle) != (edges.y1 <= middle))
    if not len(crossing):
        return
    strip, edges, middle = strip[crossing], edges.rows(crossing), middle[crossing]
    x = edges.x0 + (middle - edges.y0) * slope[crossing]
    after = np.ceil((x + 180) / frame.size(strip)[0] - 0.5).astype(np.int64) - frame.strips.west[strip]
    after = np.clip(after, 0, frame.strips.size[strip])
    # A place more in each strip for what is crossed beyond its last cell; so every strip's crossings are even.
    begins = frame.begins + np.arange(len(frame.begins))
    odd = np.cumsum(np.bincount(begins[strip] + after, minlength=int(begins[-1]))) & 1 == 1
    inside |= odd[np.arange(len(inside)) + np.repeat(np.arange(len(frame.strips.size)), frame.strips.size)]


def _gaps(edges: _Edges, at: tuple[Floats, Floats], size: tuple[Floats, Floats], scale: tuple[Floats, float]) -> Floats:
    """Metres from rectangles, by their middles and sizes in degrees, to edges: 0, or less than the true distance."""
    x0, x1 = (edges.x0 - at[0]) * scale[0], (edges.x1 - at[0]) * scale[0]
    y0, y1 = (edges.y0 - at[1]) * scale[1], (edges.y1 - at[1]) * scale[1]
    half_x, half_y = size[0] * scale[0] / 2, size[1] * scale[1] / 2
    gap = np.maximum(np.minimum(x0, x1), -np.maximum(x0, x1)) - half_x
    np.maximum(gap, np.maximum(np.minimum(y0, y1), -np.maximum(y0, y1)) - half_y, out=gap)
    dx, dy = x1 - x0, y1 - y0
    length = np.maximum(np.hypot(dx, dy), 1e-9)
    beside = (np.abs(x0 * dy - y0 * dx) - np.abs(dy) * half_x - np.abs(dx) * half_y) / length
    return np.asarray(np.maximum(gap, beside, out=gap))
