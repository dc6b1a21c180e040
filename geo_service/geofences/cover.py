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
from geo_service.geofences.cells import COLUMNS_PER_DEGREE, ROWS_PER_DEGREE, STEP
from geo_service.geofences.celltable import CODE_UNIT_M, HIGHEST_CODE
from geo_service.geofences.earth import (
    MEAN_M,
    RADIANS,
    Floats,
    chord,
    metres_per_degree,
    on_ellipsoid,
    unit_vectors,
)
from geo_service.geofences.outlines import is_flat
from geo_service.geofences.shapes import Polygons, Shape
from geo_service.geofences.strips import (
    LEAST_METRES_NORTH,
    NEAR_M,
    POLAR,
    Strips,
    boxes_of,
    cells_in,
    circle_columns,
    levels_of,
    padded,
    strips_of,
)

_SLACK_M, _SLACK = 0.001, 1e-6
"""What rounding may cost: metres, and more for each metre that the box is large."""
_MOST_METRES_NORTH = 111_700.0
"""Per degree of latitude, anywhere."""
_PAIRS_AT_ONCE, _POSITIONS_AT_ONCE = 1 << 15, 1 << 14
_PAD_M, _BEYOND_M = np.float32(NEAR_M), np.float32(NEAR_M + 0.1)

_Singles = NDArray[np.float32]


class Cover(NamedTuple):
    """Cells of shapes, one row each; no shape has a cell twice."""

    owner: Ints
    """Which of the shapes; ascending."""
    cell: Ints
    """Page · 64 + spot, see `cells.cell_of`."""
    code: NDArray[np.int32]
    """As in `celltable.py`."""
    near: NDArray[np.bool_]


def cover(shapes: Sequence[Shape]) -> tuple[Cover, Ints]:
    """The cells of each shape, and the level of each; at least one shape."""
    positions = np.array([len(shape.positions) if isinstance(shape, Polygons) else 0 for shape in shapes])
    boxes, _ = padded(boxes_of(shapes))
    level = levels_of(boxes, np.maximum(positions, 1))
    parts = []
    for measure, numbers in ((_circles, np.flatnonzero(positions == 0)), (_polygons, np.flatnonzero(positions))):
        # A part at a time, so that the pairs of edge and cell stay in the cache.
        cuts = np.flatnonzero(np.diff(np.cumsum(positions[numbers] + 16) // _POSITIONS_AT_ONCE)) + 1
        for part in np.split(numbers, cuts) if len(numbers) else ():
            strips = strips_of(boxes[part], level[part])
            gap, inside = measure(
                [shapes[number] for number in part.tolist()], _plane(strips, boxes[part], level[part])
            )
            parts.append(_listed(strips, part, gap, inside))
    return Cover(*(np.concatenate(columns) for columns in zip(*parts, strict=True))), level


def _listed(strips: Strips, numbers: Ints, gap: _Singles, inside: NDArray[np.bool_]) -> Cover:
    """The cells of strips that are listed, given the gaps of all."""
    gap[np.repeat(strips.round, strips.size)] = 0
    touching = gap <= 0
    code = np.minimum(gap * np.float32(1 / CODE_UNIT_M), HIGHEST_CODE - 1).astype(np.int32) + inside
    code[touching] = 0
    touching |= inside
    kept = np.flatnonzero(touching | (gap <= NEAR_M))
    owner = np.repeat(numbers[strips.owner], strips.size)
    return Cover(owner[kept], cells_in(strips)[kept], code[kept], ~touching[kept])


class _Plane(NamedTuple):
    """What strips look like in metres from the south-west of each shape's box, on a plane that is nowhere too wide.

    Single precision: what that costs is in `slack`. By strip, but for `origin` and `scale`.
    """

    strips: Strips
    begins: Ints
    """The first cell, and one more at the end."""
    origin: Floats
    """(n, 2) by shape: longitude and latitude."""
    scale: Floats
    """(n, 2) by shape: metres per degree, at least."""
    width: _Singles
    """Of a cell."""
    height: _Singles
    first: _Singles
    """x of the middle of the first cell."""
    middle: _Singles
    """y of the middle line."""
    slack: _Singles


def _plane(strips: Strips, boxes: Floats, level: Ints) -> _Plane:
    origin, owner = boxes[:, :2], strips.owner
    highest = np.minimum(np.abs(boxes[:, 1::2]).max(axis=1), POLAR)
    scale = np.stack((metres_per_degree(highest)[0], np.full(len(boxes), LEAST_METRES_NORTH)), axis=1)
    width, height = (1 << strips.bits) / COLUMNS_PER_DEGREE, (1 << STEP * level[owner]) / ROWS_PER_DEGREE
    first = (strips.west + 0.5) * width - 180 - origin[owner, 0]
    middle = (strips.row + 0.5) * height - 90 - origin[owner, 1]
    size_m = ((boxes[:, 2:] - origin) * scale).sum(axis=1)
    east, north = scale[owner].T
    metres = (width * east, height * north, first * east, middle * north, (_SLACK_M + _SLACK * size_m)[owner])
    begins = np.concatenate(([0], np.cumsum(strips.size)))
    return _Plane(strips, begins, origin, scale, *(column.astype(np.float32) for column in metres))


def _circles(shapes: Sequence[Shape], plane: _Plane) -> tuple[_Singles, NDArray[np.bool_]]:
    """The gaps from cells to circles' edges, and which cells' middles are inside."""
    lat, lon, radius = circle_columns(shapes)
    strips, owner = plane.strips, plane.strips.owner
    which = np.repeat(np.arange(len(owner)), strips.size)
    column = (np.arange(len(which)) - plane.begins[which]).astype(np.float32)
    # A cell reaches so far from its middle; a plane is so far from the truth where the circle is small.
    middle = plane.middle / plane.scale[owner, 1] + plane.origin[owner, 1]
    height = plane.height / plane.scale[owner, 1]
    widest = metres_per_degree(np.maximum(np.abs(middle) - height / 2, 0))[0] / plane.scale[owner, 0]
    reach = np.hypot(plane.width * widest, height * _MOST_METRES_NORTH) / 2 + plane.slack
    flat = is_flat(lat, lon, radius)
    steep = np.where(flat, np.tan(np.minimum(np.abs(lat), POLAR) * RADIANS) + 1, 0)[owner]
    reach += (radius[owner] + NEAR_M + 2 * reach) ** 2 * steep / MEAN_M
    scale = np.stack(metres_per_degree(lat), axis=1)
    centre = (np.stack((lon, lat), axis=1) - plane.origin) * scale
    east = (scale[:, 0] / plane.scale[:, 0])[owner]
    x = column * (plane.width * east).astype(np.float32)[which]
    x += (plane.first * east - centre[owner, 0]).astype(np.float32)[which]
    y = plane.middle * (scale[:, 1] / plane.scale[:, 1])[owner] - centre[owner, 1]
    x *= x
    x += (y * y).astype(np.float32)[which]
    signed = np.sqrt(x, out=x)
    signed -= radius.astype(np.float32)[owner][which]
    rows = np.flatnonzero(~flat[owner[which]])
    if len(rows):
        strip = which[rows]
        degrees = (plane.first[strip] + column[rows] * plane.width[strip]) / plane.scale[owner[strip], 0]
        points = on_ellipsoid(unit_vectors(middle[strip], degrees + plane.origin[owner[strip], 0]))
        straight = np.sqrt(((points - on_ellipsoid(unit_vectors(lat, lon))[:, owner[strip]]) ** 2).sum(axis=0))
        signed[rows] = straight - chord(radius, lat)[owner[strip]]
    inside = signed < 0
    gap = np.abs(signed, out=signed)
    gap -= reach.astype(np.float32)[which]
    return gap, inside


class _Pieces(NamedTuple):
    """Edges beside a strip, from the middle of its first cell, in metres; single precision."""

    x0: _Singles
    y0: _Singles
    x1: _Singles
    y1: _Singles
    slope: _Singles
    """Metres east for a metre north; 0 for an edge along a parallel."""


def _polygons(shapes: Sequence[Shape], plane: _Plane) -> tuple[_Singles, NDArray[np.bool_]]:
    """The gaps from cells to polygons' edges, up to a little over NEAR_M, and which cells' middles are inside."""
    strips = plane.strips
    gap = np.full(plane.begins[-1], _BEYOND_M, np.float32)
    x, y, edge, owner = _edges([shape for shape in shapes if isinstance(shape, Polygons)], plane)
    first, count = strips.first[owner], np.diff(strips.first)[owner]
    south, height = plane.middle[first] - plane.height[first] / 2, plane.height[first]
    y0, y1, pad = y[edge], y[edge + 1], _PAD_M + plane.slack[first]
    low = np.clip(((np.minimum(y0, y1) - pad - south) / height).astype(np.int64), 0, count - 1)
    high = np.clip(((np.maximum(y0, y1) + pad - south) / height).astype(np.int64), 0, count - 1)
    strip = spread(first + low, high - low + 1)
    edge = np.repeat(edge, high - low + 1)
    middle, begin = plane.middle[strip], plane.first[strip]
    x0, y0, x1, y1 = x[edge] - begin, y[edge] - middle, x[edge + 1] - begin, y[edge + 1] - middle
    dy = y1 - y0
    slope = np.divide(x1 - x0, dy, out=np.zeros_like(dy), where=dy != 0)
    pieces = _Pieces(x0, y0, x1, y1, slope)
    _narrow(plane, strip, pieces, gap)
    return gap, _filled(plane, strip, pieces)


def _edges(shapes: Sequence[Polygons], plane: _Plane) -> tuple[_Singles, _Singles, Ints, Ints]:
    """Places of all positions on the plane; the positions that begin an edge, and whose each is."""
    counts = np.array([len(shape.positions) for shape in shapes])
    positions = np.concatenate([shape.positions for shape in shapes])
    rings = np.array([len(shape.ring_starts) - 1 for shape in shapes])
    ends = np.concatenate([shape.ring_starts[1:] for shape in shapes]) + np.repeat(np.cumsum(counts) - counts, rings)
    owner = np.repeat(np.arange(len(shapes)), counts)
    positions = (positions - plane.origin[owner]) * plane.scale[owner]
    is_edge = np.ones(len(positions), np.bool_)
    is_edge[ends - 1] = False
    edge = np.flatnonzero(is_edge)
    x, y = positions.T.astype(np.float32)
    return x, y, edge, owner[edge]


def _narrow(plane: _Plane, strip: Ints, pieces: _Pieces, gap: _Singles) -> None:
    """Lower the gaps of the cells that the edges come near, cell by cell along each strip."""
    x0, y0, x1, y1, slope = pieces
    half_y, half_x, slack = plane.height[strip] / 2, plane.width[strip] / 2, plane.slack[strip]
    # Only the part of an edge that is beside the strip, or nearly, can be near its cells.
    beside = half_y + _PAD_M + slack
    low, high = np.minimum(y0, y1), np.maximum(y0, y1)
    one, other = (x0 + (np.clip(level, low, high) - y0) * slope for level in (-beside, beside))
    flat = y0 == y1
    one[flat], other[flat] = x0[flat], x1[flat]
    reach = half_x + _PAD_M + slack
    most = plane.strips.size[strip] - 1
    west = np.clip(np.ceil((np.minimum(one, other) - reach) / (2 * half_x)).astype(np.int64), 0, most)
    east = np.clip(np.floor((np.maximum(one, other) + reach) / (2 * half_x)).astype(np.int64), 0, most)
    count = np.where(plane.strips.round[strip], 0, np.maximum(east - west + 1, 0))
    # The axes that may separate a cell from an edge: east, north, and across the edge.
    dx, dy = x1 - x0, y1 - y0
    length = np.maximum(np.hypot(dx, dy), np.float32(1e-6))
    dx, dy = dx / length, dy / length
    columns = (
        np.minimum(x0, x1) - half_x - slack,
        np.maximum(x0, x1) + half_x + slack,
        np.maximum(np.maximum(low, -high) - half_y - slack, 0),
        x0 * dy - y0 * dx,
        dy,
        np.abs(dy) * half_x + np.abs(dx) * half_y + slack,
        2 * half_x,
    )
    begins = plane.begins[strip]
    cuts = np.flatnonzero(np.diff(np.cumsum(count) // _PAIRS_AT_ONCE)) + 1
    for part in np.split(np.arange(len(strip)), cuts):
        row, column = np.repeat(part, count[part]), spread(west[part], count[part])
        from_x, to_x, from_y, across, turn, support, width = (values.take(row) for values in columns)
        x = column.astype(np.float32)
        x *= width
        from_x -= x
        np.maximum(from_y, from_x, out=from_y)
        np.maximum(from_y, np.subtract(x, to_x, out=to_x), out=from_y)
        x *= turn
        across -= x
        np.maximum(from_y, np.subtract(np.abs(across, out=across), support, out=across), out=from_y)
        np.minimum.at(gap, begins.take(row) + column, from_y)


def _filled(plane: _Plane, strip: Ints, pieces: _Pieces) -> NDArray[np.bool_]:
    """Which cells' middles are inside, by how many edges cross the strip's middle line before them."""
    crossing = np.flatnonzero((pieces.y0 <= 0) != (pieces.y1 <= 0))
    size, strip = plane.strips.size, strip[crossing]
    x = pieces.x0[crossing] - pieces.y0[crossing] * pieces.slope[crossing]
    after = np.clip(np.ceil(x / plane.width[strip]).astype(np.int64), 0, size[strip])
    # A place more in each strip for what is crossed beyond its last cell; so every strip's crossings are even.
    begins = plane.begins + np.arange(len(plane.begins))
    odd = np.cumsum(np.bincount(begins[strip] + after, minlength=int(begins[-1]))) & 1 == 1
    kept = np.ones(len(odd), np.bool_)
    kept[begins[1:] - 1] = False
    return np.asarray(odd[kept])
