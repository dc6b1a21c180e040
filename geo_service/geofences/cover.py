"""From shapes to the H3 cells that have to do with them, for many shapes at once.

On a face's plane (see `cells.py`) cells are regular hexagons one unit apart, and a shape of up to a few kilometres is the
same shape, all but undistorted. So a cover is plane geometry: take the lattice points in the shape's box, find how far
each is from the nearest edge, and on which side:

```
inside, farther than a corner of the hexagon     the cell is full: its points need no test
nearer than a corner                             the edge may pass through: its points need the exact test
outside, nearer than a corner and NEAR_M         the cell is near
```

A point's cell is found at the finest resolution, and the coarser ones are its parents. As H3's hexagons do not nest exactly,
what counts as a coarse cell is not the hexagon but all the finest cells below it, which reach a little farther (`_corner`).

A shape that is too large, too near a pole, or on the edge of a face goes the slow way round (`wide_cover.py`), to the same
result. Every doubt goes to the safe side: a full or empty cell may be called an edge cell, never the other way round.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arena import Ints, spread
from geo_service.geofences.cells import Keys, face_of, faces, lattice_keys, plane_axes, project
from geo_service.geofences.celltable import CODE_UNIT_M, HIGHEST_CODE, tagged
from geo_service.geofences.earth import (
    RADIANS,
    Floats,
    chord,
    degrees_of,
    metres_per_degree,
    on_ellipsoid,
    unit_vectors,
)
from geo_service.geofences.shapes import Circle, Polygons, Shape
from geo_service.geofences.wide_cover import wide_cover

NEAR_M = 40.0
"""A fence is listed in every cell that comes this near it."""
FINEST, COARSEST = 11, 6
"""Resolutions of the quick way: cells 50 m and 6.5 km across."""
_MOST_CELLS = 64
_ROW = np.sqrt(3) / 2
_SLACK = 2e-4
"""Units that single precision and rounding may cost."""
_LEAST_RADIUS_M, _MOST_RADIUS_M = 6_335_000.0, 6_400_000.0
_MOST_BEND = 0.02
"""Units by which an edge, straight in degrees, may bend on the plane."""
_HIGHEST_LATITUDE = 85.0
_FILLED = 0.8
"""How much of a shape's box its cells take up, as a guess."""
_GENEROUS = 1.01
_MEAN_RADIUS_M = 6_371_000.0
_UNIT_M = 0.381966011250105 * _MEAN_RADIUS_M
"""Between cells of resolution 0, in the middle of a face."""
_PAIRS_AT_ONCE = 1 << 18

_Singles = NDArray[np.float32]


class Cover(NamedTuple):
    """Cells of shapes, one row each; no shape has a cell twice."""

    owner: Ints
    """Which of the shapes."""
    key: Keys
    """`tagged`."""
    code: NDArray[np.int32]
    """As in `celltable.py`."""
    near: NDArray[np.bool_]


class _Frame(NamedTuple):
    """Shapes of one kind on one face at one resolution: what the plane looks like around each."""

    face: int
    res: int
    box: Floats
    """(n, 4): least x and y, greatest x and y, in units."""
    slack: Floats
    """Units to add where a distance decides."""
    least_m: Floats
    """Metres in a unit, at least and at most."""
    most_m: Floats


class _Lattice(NamedTuple):
    """Lattice points in the boxes of shapes."""

    owner: Ints
    a: Floats
    b: Floats
    vectors: Floats


def _corner(res: int) -> float:
    """How far the finest cells below a cell reach from its middle, at most; in units.

    A hexagon's corner is at 1/√3; a child's middle is at most 1/√7 from its parent's, and it is √7 times smaller.
    """
    levels = FINEST - res
    return float(sum(7 ** (-(level + 1) / 2) for level in range(levels)) + 7 ** (-levels / 2) / np.sqrt(3))


def cover(shapes: Sequence[Shape]) -> Cover:
    """The cells of each shape; at least one shape."""
    polygons = [shape for shape in shapes if isinstance(shape, Polygons)]
    circles = [shape for shape in shapes if isinstance(shape, Circle)]
    is_circle = np.array([isinstance(shape, Circle) for shape in shapes], np.bool_)
    parts: list[Cover] = []
    slow: list[NDArray[np.intp]] = []
    if polygons:
        _cover_kind(polygons, _polygon_boxes(polygons), np.flatnonzero(~is_circle), parts, slow)
    if circles:
        _cover_kind(circles, _circle_boxes(circles), np.flatnonzero(is_circle), parts, slow)
    for number in np.concatenate(slow).tolist() if slow else ():
        wide = wide_cover(shapes[number], NEAR_M, FINEST)
        parts.append(Cover(np.full(len(wide.key), number), *wide))
    return Cover(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _cover_kind(
    shapes: Sequence[Shape],
    boxes: Floats,
    numbers: NDArray[np.intp],
    parts: list[Cover],
    slow: list[NDArray[np.intp]],
) -> None:
    """Add to `parts` the cells of shapes, all polygons or all circles, that go by these numbers; to `slow` those left over."""
    face, res = _plan(boxes)
    slow.append(numbers[res < COARSEST])
    kinds = face * 16 + res
    for kind in np.unique(kinds[res >= COARSEST]).tolist():
        members = np.flatnonzero(kinds == kind)
        found, failed = _quick([shapes[number] for number in members.tolist()], boxes[members], *divmod(kind, 16))
        parts.append(found._replace(owner=numbers[members][found.owner]))
        slow.append(numbers[members][failed])


def _polygon_boxes(shapes: Sequence[Polygons]) -> Floats:
    """(n, 4): west, south, east, north."""
    positions = np.concatenate([shape.positions for shape in shapes])
    firsts = np.cumsum([0] + [len(shape.positions) for shape in shapes[:-1]])
    return np.concatenate((np.minimum.reduceat(positions, firsts), np.maximum.reduceat(positions, firsts)), axis=1)


def _circle_boxes(shapes: Sequence[Circle]) -> Floats:
    lat, lon, radius = np.array([(shape.lat, shape.lon, shape.radius_m) for shape in shapes]).T
    up = radius / metres_per_degree(lat)[1] * _GENEROUS
    farthest = np.minimum(np.abs(lat) + up, 89.9)
    across = radius / metres_per_degree(farthest)[0] * _GENEROUS
    return np.stack((lon - across, lat - up, lon + across, lat + up), axis=1)


def _plan(boxes: Floats) -> tuple[Ints, Ints]:
    """Face and resolution for each box; resolution 0 for those that must go the slow way."""
    lat, lon = (boxes[:, 1] + boxes[:, 3]) / 2, (boxes[:, 0] + boxes[:, 2]) / 2
    vectors = unit_vectors(lat, lon)
    face = np.broadcast_to(face_of(vectors), len(boxes)).astype(np.int64)
    tilt = np.einsum("in,ni->n", vectors, np.array([each.centre for each in faces()])[face])
    scale = metres_per_degree(lat)
    width, height = (boxes[:, 2] - boxes[:, 0]) * scale[0], (boxes[:, 3] - boxes[:, 1]) * scale[1]
    bend_m = _bend_m(boxes)
    res = np.zeros(len(boxes), np.int64)
    for candidate in range(COARSEST, FINEST + 1):
        unit_m = _UNIT_M * tilt**1.5 / 7 ** (candidate / 2)
        margin = 2 * (_corner(candidate) * unit_m + NEAR_M)
        count = (width + margin) * (height + margin) * _FILLED / (_ROW * unit_m**2)
        res[(count <= _MOST_CELLS) & (bend_m <= _MOST_BEND * unit_m)] = candidate
    res[np.abs(boxes[:, 1::2]).max(axis=1) > _HIGHEST_LATITUDE] = 0
    return face, res


def _bend_m(boxes: Floats) -> Floats:
    """How far a line that is straight in degrees may leave the great circle through its ends, inside each box."""
    steepest = np.abs(boxes[:, 1::2]).max(axis=1) * RADIANS
    wide, high = (boxes[:, 2] - boxes[:, 0]) * RADIANS, (boxes[:, 3] - boxes[:, 1]) * RADIANS
    length = np.hypot(wide * np.cos(steepest - high), high)
    return np.asarray(length**2 / 8 * (2 * np.tan(steepest) + 0.01) * _MOST_RADIUS_M)


def _quick(shapes: Sequence[Shape], boxes: Floats, face: int, res: int) -> tuple[Cover, Ints]:
    """Cells of shapes on one face, and which of the shapes reach over its edge."""
    frame = _frame(boxes, face, res)
    points = _lattice(frame)
    lost = np.unique(points.owner[_overhang(points.vectors, face) < 2 / np.linalg.norm(plane_axes(face, res)[0])])
    if isinstance(shapes[0], Circle):
        distance = _circle_distances([shape for shape in shapes if isinstance(shape, Circle)], frame, points)
    else:
        distance = _polygon_distances([shape for shape in shapes if isinstance(shape, Polygons)], frame, points)
    corner = (_corner(res) + frame.slack)[points.owner]
    least_m = frame.least_m[points.owner]
    beyond = np.abs(distance) - corner
    touching, full = distance <= corner, distance <= -corner
    kept = touching | (beyond * least_m <= NEAR_M)
    if len(lost):
        kept &= ~np.isin(points.owner, lost)
    code = np.minimum(np.maximum(beyond, 0) * least_m / CODE_UNIT_M, HIGHEST_CODE - 1).astype(np.int32) + full
    code[touching & ~full] = 0
    rows = np.flatnonzero(kept)
    vectors = points.vectors[:, rows]
    keys = tagged(lattice_keys(face, points.a[rows], points.b[rows], res, *degrees_of(vectors)), res)
    return Cover(points.owner[rows], keys, code[rows], ~touching[rows]), lost


def _frame(boxes: Floats, face: int, res: int) -> _Frame:
    corners = [project(unit_vectors(boxes[:, south], boxes[:, west]), face, res) for west in (0, 2) for south in (1, 3)]
    x, y = (np.stack(axis) for axis in zip(*corners, strict=True))
    vectors = unit_vectors((boxes[:, 1] + boxes[:, 3]) / 2, (boxes[:, 0] + boxes[:, 2]) / 2)
    tilt = faces()[face].centre @ vectors
    unit = _UNIT_M / _MEAN_RADIUS_M / 7 ** (res / 2)
    # The plane leans away from the sphere: a unit is shorter on the way to the face's centre than across.
    least_m, most_m = unit * tilt**2 * _LEAST_RADIUS_M * 0.999, unit * tilt * _MOST_RADIUS_M * 1.001
    slack = _SLACK + _bend_m(boxes) / least_m
    margin = _corner(res) + slack + NEAR_M / least_m
    box = np.stack(
        (x.min(axis=0) - margin, y.min(axis=0) - margin, x.max(axis=0) + margin, y.max(axis=0) + margin), axis=1
    )
    return _Frame(face, res, box, slack, least_m, most_m)


def _lattice(frame: _Frame) -> _Lattice:
    """The lattice points in each box: row by row."""
    low, high = np.ceil(frame.box[:, 1] / _ROW).astype(np.int64), np.floor(frame.box[:, 3] / _ROW).astype(np.int64)
    rows = np.maximum(high - low + 1, 0)
    owner = np.repeat(np.arange(len(rows)), rows)
    b = spread(low, rows)
    first = np.ceil(frame.box[owner, 0] + b / 2).astype(np.int64)
    count = np.maximum(np.floor(frame.box[owner, 2] + b / 2).astype(np.int64) - first + 1, 0)
    owner, b = np.repeat(owner, count), np.repeat(b, count)
    a = spread(first, count).astype(np.float64)
    x_axis, y_axis = plane_axes(frame.face, frame.res)
    square = x_axis @ x_axis
    vectors = (
        faces()[frame.face].centre[:, None]
        + (a - b / 2) * (x_axis / square)[:, None]
        + b * _ROW * (y_axis / square)[:, None]
    )
    return _Lattice(owner, a, b.astype(np.float64), vectors / np.sqrt((vectors**2).sum(axis=0)))


def _overhang(vectors: Floats, face: int) -> Floats:
    """Radians from points to the nearest edge of the face, negative beyond it."""
    made = faces()[face]
    away = made.centre - made.neighbours
    away /= np.linalg.norm(away, axis=1)[:, None]
    return np.asarray((away @ vectors).min(axis=0))


def _circle_distances(circles: Sequence[Circle], frame: _Frame, points: _Lattice) -> Floats:
    """Signed distances from lattice points to circles' edges, in the units in which they are longest."""
    lat, lon, radius = np.array([(circle.lat, circle.lon, circle.radius_m) for circle in circles]).T
    centre = on_ellipsoid(unit_vectors(lat, lon))
    straight = np.sqrt(((on_ellipsoid(points.vectors) - centre[:, points.owner]) ** 2).sum(axis=0))
    metres = straight - chord(radius, lat)[points.owner]
    return np.asarray(metres / frame.most_m[points.owner])


def _polygon_distances(shapes: Sequence[Polygons], frame: _Frame, points: _Lattice) -> Floats:
    """Signed distances from lattice points to polygons' edges, in units, on the plane."""
    counts = np.array([len(shape.positions) for shape in shapes])
    lon, lat = np.concatenate([shape.positions for shape in shapes]).T
    x, y = project(unit_vectors(lat, lon), frame.face, frame.res)
    owner = np.repeat(np.arange(len(shapes)), counts)
    middle = (frame.box[:, :2] + frame.box[:, 2:]) / 2
    x, y = (x - middle[owner, 0]).astype(np.float32), (y - middle[owner, 1]).astype(np.float32)
    is_edge = np.ones(len(x), np.bool_)
    is_edge[np.concatenate([shape.ring_starts[1:] for shape in shapes]) + _per_ring(shapes, counts) - 1] = False
    edge = np.flatnonzero(is_edge)
    edges = np.bincount(owner[edge], minlength=len(shapes))
    ends = x[edge], y[edge], x[edge + 1], y[edge + 1]
    px = (points.a - points.b / 2 - middle[points.owner, 0]).astype(np.float32)
    py = (points.b * _ROW - middle[points.owner, 1]).astype(np.float32)
    parts = []
    # A slice of points at a time, so that the pairs of point and edge stay in the cache.
    done = np.cumsum(edges[points.owner])
    cuts = np.searchsorted(done, np.arange(_PAIRS_AT_ONCE, int(done[-1]) if len(done) else 0, _PAIRS_AT_ONCE))
    firsts = np.cumsum(edges) - edges
    for rows in np.split(np.arange(len(px)), cuts):
        mine = points.owner[rows]
        parts.append(_signed_distances(px[rows], py[rows], firsts[mine], edges[mine], ends))
    return np.concatenate(parts)


def _per_ring(shapes: Sequence[Polygons], counts: Ints) -> Ints:
    """Where each ring's shape begins among the positions."""
    return np.repeat(np.cumsum(counts) - counts, [len(shape.ring_starts) - 1 for shape in shapes])


def _signed_distances(px: _Singles, py: _Singles, first: Ints, count: Ints, ends: tuple[_Singles, ...]) -> Floats:
    """From points to the nearest of their edges, negative inside; a point has at least three edges."""
    edge = spread(first, count)
    begins = np.cumsum(count) - count
    px, py = np.repeat(px, count), np.repeat(py, count)
    x0, y0, x1, y1 = (column.take(edge) for column in ends)
    x0 -= px
    x1 -= px
    y0 -= py
    y1 -= py
    below = y1 <= 0
    crossed = ((y0 <= 0) != below) & ((x0 * y1 - x1 * y0 > 0) != below)
    x1 -= x0
    y1 -= y0
    along = np.clip(-(x0 * x1 + y0 * y1) / np.maximum(x1 * x1 + y1 * y1, np.float32(1e-30)), 0, 1)
    x0 += along * x1
    y0 += along * y1
    distance = np.sqrt(np.minimum.reduceat(x0 * x0 + y0 * y0, begins)).astype(np.float64)
    inside = np.logical_xor.reduceat(crossed, begins)
    return np.where(inside, -distance, distance)
