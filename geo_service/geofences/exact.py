"""The exact tests: is a point in this fence, how far is it from its edge; for many pairs of point and fence at once.

Inside or not is decided as GEOS does it: count the edges that a ray to the east crosses, and ask for each on which side of
it the point is. That side is the sign of a determinant. Its sign is certain where its value exceeds a bound on the
rounding error (Shewchuk, Adaptive Precision Floating-Point Arithmetic, 1997, section 4.1); the rest, points within some
10⁻¹⁵ of an edge, is decided in exact fractions. So a point is on an edge here if and only if it is on it.
"""

from fractions import Fraction
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from geo_service.geofences.arena import Ints, spread
from geo_service.geofences.earth import Floats, chord, on_ellipsoid, unit_vectors
from geo_service.geofences.outlines import Outlines

_ROUNDING = (3 + 16 * 2**-53) * 2**-53
_AT_ONCE = 1 << 20
"""Pairs of point and edge looked at together: bounds the memory that a hostile shape can ask for."""

# Below this, doubles lose digits to underflow and the bound on rounding errors does not hold.
_UNDERFLOW = 1e-290
_LEAST_SCALE = 1e-3

_DOUBT = 0.02
"""Squares of distances in radii this near to 1 are not believed."""
_FAR, _FLAT_DISTANCE_M = 4.0, 800.0
"""Up to so far from the centre (in radii, squared) of circles up to so large a plane is true to half a metre."""

Slots = NDArray[np.int32]
Edge = tuple[Floats, Floats, Floats, Floats]
"""x0, y0, x1, y1 of edges."""
Mask = NDArray[np.bool_]


def polygons_cover(outlines: Outlines, slots: Slots, lon: Floats, lat: Floats) -> Mask:
    """Whether the polygons in a slot cover a point (longitude in [-180, 180)), pair by pair."""
    west, south, east, north, rate = outlines.head.take(slots, axis=0).T
    slab, slabs = outlines.slab.take(slots, axis=0).T
    turned = (lon < west) & (east >= 180)
    if turned.any():  # into the plane of shapes that run on beyond 180°
        lon = np.where(turned, lon + 360, lon)
    boxed = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    band = (np.where(boxed, lat - south, 0) * rate).astype(np.int32)
    band = np.minimum(band, slabs - 1) + slab
    first = outlines.slabs.take(band)
    return _odd(outlines, first, (outlines.slabs.take(band + 1) - first) * boxed, lon, lat)


def _odd(outlines: Outlines, first: NDArray[np.int32], count: NDArray[np.int32], x: Floats, y: Floats) -> Mask:
    """Whether a ray east from (x, y) crosses an odd number of its edges, or the point is on one."""
    total = int(count.sum())
    if total > _AT_ONCE and len(x) > 1:
        half = len(x) // 2
        parts = (slice(None, half), slice(half, None))
        return np.concatenate([_odd(outlines, first[part], count[part], x[part], y[part]) for part in parts])
    rows = np.repeat(first - np.cumsum(count, dtype=np.int32) + count, count)
    rows += np.arange(len(rows), dtype=np.int32)
    start = outlines.edges.take(rows)
    py = np.repeat(y, count)
    y0, y1 = outlines.y.take(start), outlines.y.take(start + 1)
    below = y1 <= py
    # Half-open, so that a ray through a position counts once.
    straddling = np.flatnonzero((y0 <= py) != below)
    pair = np.repeat(np.arange(len(x), dtype=np.int32), count)
    owner, edge = pair.take(straddling), start.take(straddling)
    px, x0, x1 = x.take(owner), outlines.x.take(edge), outlines.x.take(edge + 1)
    # Most edges lie to the east as a whole, or to the west; only the others need the side.
    crossed = (x0 > px) & (x1 > px)
    beside = np.flatnonzero(crossed == ((x0 < px) & (x1 < px)))
    at = straddling.take(beside)
    side = sides((x0.take(beside), y0.take(at), x1.take(beside), y1.take(at)), px.take(beside), py.take(at))
    # An upward edge is crossed if the point is on its left, a downward one if it is on its right.
    crossed[beside] = (side > 0) != below.take(at)
    odd: Mask = np.bincount(owner.take(np.flatnonzero(crossed)), minlength=len(x)) & 1 == 1
    on_edge = side == 0
    if on_edge.any():
        odd[owner[beside[on_edge]]] = True
    level = y0 == py
    if level.any():
        _add_touching(outlines, odd, np.flatnonzero(level), pair, start, x)
    return odd


def _add_touching(outlines: Outlines, odd: Mask, level: Ints, pair: Slots, edge: Slots, x: Floats) -> None:
    """Mark points on a position, or on an edge along a parallel: those that the half-open rule does not see."""
    owner, start = pair[level], edge[level]
    px, x0, x1 = x[owner], outlines.x[start], outlines.x[start + 1]
    flat = outlines.y[start] == outlines.y[start + 1]
    odd[owner[(x0 == px) | (flat & (np.minimum(x0, x1) <= px) & (px <= np.maximum(x0, x1)))]] = True


def sides(edge: Edge, px: Floats, py: Floats) -> Floats:
    """On which side of an edge a point is: above 0 on the left, below 0 on the right, 0 on its line; only the sign counts."""
    x0, y0, x1, y1 = edge
    left, right = (x0 - px) * (y1 - py), (x1 - px) * (y0 - py)
    side = left - right
    unsure = np.flatnonzero(np.abs(side) <= _ROUNDING * (np.abs(left) + np.abs(right)) + _UNDERFLOW)
    for number in unsure.tolist():  # few: only points all but on the line
        ax, ay, bx, by, cx, cy = (Fraction(float(column[number])) for column in (*edge, px, py))
        # As a double, so that what is too small for one counts as on the line, as it does in GEOS.
        side[number] = float((ax - cx) * (by - cy) - (bx - cx) * (ay - cy))
    return side


def polygon_edge_distances(
    outlines: Outlines, slots: Slots, at: tuple[Floats, Floats], scale: tuple[Floats, Floats], far_m: Floats
) -> Floats:
    """Metres from points `(lon, lat)` to the nearest edge, pair by pair; infinite where that is beyond `far_m`.

    `scale` is `metres_per_degree` at the points: the earth is taken as flat around each.
    """
    head = outlines.head.take(slots, axis=0)
    middle = (head[:, 0] + head[:, 2]) / 2
    x = at[0] - 360 * np.rint((at[0] - middle) / 360)
    nearest = _edge_distances(outlines, slots, (x, at[1]), scale, far_m)
    # A shape that spans more than half the world has two ways to it.
    wide = np.flatnonzero(head[:, 2] - head[:, 0] > 180)
    for turn in (-360.0, 360.0) if len(wide) else ():
        place, metres = (x[wide] + turn, at[1][wide]), (scale[0][wide], scale[1][wide])
        other = _edge_distances(outlines, slots[wide], place, metres, far_m[wide])
        nearest[wide] = np.minimum(nearest[wide], other)
    return nearest


def _edge_distances(
    outlines: Outlines, slots: Slots, at: tuple[Floats, Floats], scale: tuple[Floats, Floats], far_m: Floats
) -> Floats:
    """The same for points in the shape's plane."""
    (x, y), head, slab = at, outlines.head.take(slots, axis=0), outlines.slab.take(slots, axis=0)
    pad_x, pad_y = far_m / np.maximum(scale[0], _LEAST_SCALE), far_m / scale[1]
    reached = (x >= head[:, 0] - pad_x) & (x <= head[:, 2] + pad_x)
    reached &= (y >= head[:, 1] - pad_y) & (y <= head[:, 3] + pad_y)
    pair = np.flatnonzero(reached)
    head, slab, x, y, pad_x, pad_y = head[pair], slab[pair], x[pair], y[pair], pad_x[pair], pad_y[pair]
    bands = [
        np.clip((level - head[:, 1]) * head[:, 4], 0, slab[:, 1] - 1).astype(np.int64) + slab[:, 0]
        for level in (y - pad_y, y + pad_y)
    ]
    first, last = outlines.slabs.take(bands[0]).astype(np.int64), outlines.slabs.take(bands[1] + 1).astype(np.int64)
    nearest = np.full(len(slots), np.inf)
    asked = _Asked(x, y, scale[0][pair], scale[1][pair], pad_x, head[:, 2] - head[:, 0] == 360)
    metres = _nearest(outlines, first, last - first, asked)
    nearest[pair] = np.where(metres <= far_m[pair], metres, np.inf)
    return nearest


class _Asked(NamedTuple):
    """Points and how to measure around them, one row a pair."""

    x: Floats
    y: Floats
    metres_x: Floats
    metres_y: Floats
    pad_x: Floats
    """Degrees of longitude beyond which an edge does not matter."""
    around: Mask
    """The shape goes around a pole: where its plane is cut is no edge on the earth."""

    def rows(self, rows: slice | Ints) -> Self:
        x, y, metres_x, metres_y, pad_x, around = self
        return type(self)(x[rows], y[rows], metres_x[rows], metres_y[rows], pad_x[rows], around[rows])


def _nearest(outlines: Outlines, first: Ints, count: Ints, asked: _Asked) -> Floats:
    """Metres to the nearest of the edges from `first` on."""
    nearest = np.full(len(first), np.inf)
    if int(count.sum()) > _AT_ONCE and len(first) > 1:
        half = len(first) // 2
        for part in (slice(None, half), slice(half, None)):
            nearest[part] = _nearest(outlines, first[part], count[part], asked.rows(part))
        return nearest
    edge = outlines.edges.take(spread(first, count))
    pair = np.repeat(np.arange(len(first)), count)
    x0, x1 = outlines.x.take(edge) - asked.x.take(pair), outlines.x.take(edge + 1) - asked.x.take(pair)
    far = asked.pad_x.take(pair)
    close = np.flatnonzero((np.minimum(x0, x1) <= far) & (np.maximum(x0, x1) >= -far))
    if len(close) == 0:
        return nearest
    pair, edge = pair.take(close), edge.take(close)
    scale_x, scale_y, y = asked.metres_x.take(pair), asked.metres_y.take(pair), asked.y.take(pair)
    y0, y1 = (outlines.y.take(edge) - y) * scale_y, (outlines.y.take(edge + 1) - y) * scale_y
    squares = _squared_distances(x0.take(close) * scale_x, y0, x1.take(close) * scale_x, y1)
    around = np.flatnonzero(asked.around.take(pair))
    if len(around):
        x0, y0, x1, y1 = outlines.edge_ends(edge[around])
        seam = ((np.abs(y0) == 90) & (y0 == y1)) | ((np.abs(x0) == 180) & (x0 == x1))
        squares[around[seam]] = np.inf
    begins = np.flatnonzero(np.diff(pair, prepend=-1))
    nearest[pair[begins]] = np.sqrt(np.minimum.reduceat(squares, begins))
    return nearest


def _squared_distances(x0: Floats, y0: Floats, x1: Floats, y1: Floats) -> Floats:
    """From the origin to segments."""
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    along = np.clip(-(x0 * dx + y0 * dy) / np.maximum(length, _UNDERFLOW), 0, 1)
    x0 += along * dx
    y0 += along * dy
    return np.asarray(x0 * x0 + y0 * y0)


def circles_cover(outlines: Outlines, slots: Slots, lat: Floats, lon: Floats) -> Mask:
    """Whether the circles in a slot hold a point, pair by pair.

    On a plane first; the few that are within a per cent of the edge there, or whose circle is too large or too near a
    pole for a plane, on the earth.
    """
    square = _square_in_radii(outlines, slots, lat, lon)
    inside = square <= 1 - _DOUBT
    unsure = np.flatnonzero(~(inside | (square >= 1 + _DOUBT)))
    inside[unsure] = _circle_distances(outlines, slots.take(unsure), lat.take(unsure), lon.take(unsure)) <= 0
    return inside


def circle_distances(outlines: Outlines, slots: Slots, lat: Floats, lon: Floats) -> Floats:
    """Signed metres from points to circles' edges, negative inside; the sign is as `circles_cover` says."""
    square = _square_in_radii(outlines, slots, lat, lon)
    radius = outlines.head[:, 4].take(slots)
    distance = (np.sqrt(square) - 1) * radius
    sure = (square <= 1 - _DOUBT) | ((square >= 1 + _DOUBT) & (square < _FAR))
    unsure = np.flatnonzero(~(sure & (radius <= _FLAT_DISTANCE_M)))
    distance[unsure] = _circle_distances(outlines, slots.take(unsure), lat.take(unsure), lon.take(unsure))
    return distance


def _square_in_radii(outlines: Outlines, slots: Slots, lat: Floats, lon: Floats) -> Floats:
    """The distance from circles' centres on a plane, in radii, squared; nan where a plane is no guide."""
    head = outlines.head.take(slots, axis=0)
    x = lon - head[:, 0]
    x *= head[:, 2]
    x *= x
    y = lat - head[:, 1]
    y *= head[:, 3]
    y *= y
    x += y
    return x


def _circle_distances(outlines: Outlines, slots: Slots, lat: Floats, lon: Floats) -> Floats:
    """Chords stand for arcs: of 100 km the difference is a metre, and none at the edge."""
    centre, chord_m = circle_centres(outlines, slots)
    x, y, z = on_ellipsoid(unit_vectors(lat, lon)) - centre
    return np.asarray(np.sqrt(x * x + y * y + z * z) - chord_m)


def circle_centres(outlines: Outlines, slots: Slots) -> tuple[Floats, Floats]:
    """Circles' centres, earth-centred (3, n), and the chords that their radii are, in metres."""
    lon, lat, _, _, radius = outlines.head.take(slots, axis=0).T
    return on_ellipsoid(unit_vectors(lat, lon)), chord(radius, lat)


def segments_touch(outlines: Outlines, slots: Slots, start: tuple[Floats, Floats], end: tuple[Floats, Floats]) -> Mask:
    """Whether a segment, ends `(lon, lat)` in the fence's own plane, touches an edge of the polygons, pair by pair."""
    head, slab = outlines.head.take(slots, axis=0), outlines.slab.take(slots, axis=0)
    low, high = np.minimum(start, end), np.maximum(start, end)
    boxed = (low[0] <= head[:, 2]) & (high[0] >= head[:, 0]) & (low[1] <= head[:, 3]) & (high[1] >= head[:, 1])
    pair = np.flatnonzero(boxed)
    head, slab = head[pair], slab[pair]
    bands = [
        np.clip(((at[1][pair] - head[:, 1]) * head[:, 4]).astype(np.int64), 0, slab[:, 1] - 1) + slab[:, 0]
        for at in (low, high)
    ]
    first, last = outlines.slabs.take(bands[0]).astype(np.int64), outlines.slabs.take(bands[1] + 1).astype(np.int64)
    segment = start[0][pair], start[1][pair], end[0][pair], end[1][pair]
    touched = np.zeros(len(slots), np.bool_)
    touched[pair] = _crosses(outlines, first, last - first, segment)
    return touched


def _crosses(outlines: Outlines, first: Ints, count: Ints, segment: Edge) -> Mask:
    """Whether segments touch any of the edges from `first` on: boxes meet, and neither is on one side of the other."""
    if int(count.sum()) > _AT_ONCE and len(first) > 1:
        half = len(first) // 2
        parts = (slice(None, half), slice(half, None))
        return np.concatenate([_crosses(outlines, first[part], count[part], _rows(segment, part)) for part in parts])
    pair = np.repeat(np.arange(len(first)), count)
    edges = outlines.edge_ends(outlines.edges.take(spread(first, count)))
    pieces = _rows(segment, pair)
    meet = np.ones(len(pair), np.bool_)
    for axis in (0, 1):
        meet &= np.minimum(edges[axis], edges[axis + 2]) <= np.maximum(pieces[axis], pieces[axis + 2])
        meet &= np.maximum(edges[axis], edges[axis + 2]) >= np.minimum(pieces[axis], pieces[axis + 2])
    close = np.flatnonzero(meet)
    edges, pieces = _rows(edges, close), _rows(pieces, close)
    apart = _same_side(edges, pieces) | _same_side(pieces, edges)
    touched = np.zeros(len(first), np.bool_)
    touched[pair[close[~apart]]] = True
    return touched


def _same_side(line: Edge, other: Edge) -> Mask:
    """Whether both ends of the other are on the same side of the line, and neither on it."""
    return np.sign(sides(line, other[0], other[1])) * np.sign(sides(line, other[2], other[3])) > 0


def _rows(columns: Edge, rows: Ints | slice) -> Edge:
    x0, y0, x1, y1 = columns
    return x0[rows], y0[rows], x1[rows], y1[rows]
